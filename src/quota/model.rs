//! The definition of each algorithm: exact fractions over a log of all admissions, without a running
//! state.

use super::quota::{Algorithm, Quota};

/// A log of times and admitted costs.
#[derive(Debug, Default)]
pub(crate) struct Model {
    log: Vec<(u64, u64)>,
}

impl Model {
    /// Whether `cost` may be admitted at `now`.
    pub(crate) fn may_admit(&self, quota: &Quota, now: u64, cost: u64) -> bool {
        self.fits(quota, cost, self.used(quota, now))
    }

    /// Whether `cost` must be admitted at `now`: only a sliding window of a large limit may refuse what
    /// it may admit.
    pub(crate) fn must_admit(&self, quota: &Quota, now: u64, cost: u64) -> bool {
        self.fits(quota, cost, self.used_at_most(quota, now))
    }

    /// The fewest and the most whole quota units that may be left.
    pub(crate) fn remaining(&self, quota: &Quota, now: u64) -> (u64, u64) {
        let left = |used| {
            let full = u128::from(quota.capacity()) * scale(quota);
            let left = full.saturating_sub(used) / scale(quota);
            u64::try_from(left).expect("no more than the capacity")
        };
        if quota.limit() == 0 {
            return (0, 0);
        }
        (
            left(self.used_at_most(quota, now)),
            left(self.used(quota, now)),
        )
    }

    pub(crate) fn admit(&mut self, now: u64, cost: u64) {
        self.log.push((now, cost));
    }

    /// Removes the admission of `cost` at `time`.
    pub(crate) fn refund(&mut self, time: u64, cost: u64) {
        if let Some(at) = self.log.iter().rposition(|entry| *entry == (time, cost)) {
            self.log.remove(at);
        }
    }

    /// The sum of the costs admitted in the last `period` before and at `now`.
    pub(crate) fn within(&self, period: u64, now: u64) -> u128 {
        let counts = |(at, _): &&(u64, u64)| *at + period > now;
        let costs = self.log.iter().filter(counts);
        costs.map(|(_, cost)| u128::from(*cost)).sum()
    }

    fn fits(&self, quota: &Quota, cost: u64, used: u128) -> bool {
        let sum = used + u128::from(cost) * scale(quota);
        quota.limit() > 0 && sum <= u128::from(quota.capacity()) * scale(quota)
    }

    /// The used quota, in `1/window` of a quota unit.
    fn used(&self, quota: &Quota, now: u64) -> u128 {
        match quota.algorithm() {
            Algorithm::Gcra => self.level(quota, now),
            Algorithm::FixedWindow => self.in_window(quota, now) * scale(quota),
            Algorithm::SlidingWindow => self.within(quota.window_micros(), now) * scale(quota),
        }
    }

    /// The used quota, with what a sliding window of a large limit may free late.
    fn used_at_most(&self, quota: &Quota, now: u64) -> u128 {
        let window = quota.window_micros();
        if quota.algorithm() == Algorithm::SlidingWindow && quota.limit() > 128 {
            return self.within(window + window / 64, now) * scale(quota);
        }
        self.used(quota, now)
    }

    /// The level of a leaky bucket: a unit adds `window` to it, each microsecond drains `limit`.
    fn level(&self, quota: &Quota, now: u64) -> u128 {
        let drain = |level: u128, micros: u64| {
            level.saturating_sub(u128::from(micros) * u128::from(quota.limit()))
        };
        let (level, last) = self.log.iter().fold((0, 0), |(level, last), (at, cost)| {
            let level = drain(level, at - last) + u128::from(*cost) * scale(quota);
            (level, *at)
        });
        drain(level, now - last)
    }

    /// The sum of the window at `now`, which the first admission after the previous window opened.
    fn in_window(&self, quota: &Quota, now: u64) -> u128 {
        let window = quota.window_micros();
        let mut open = 0;
        let mut used = 0;
        for (at, cost) in &self.log {
            if used == 0 || *at >= open + window {
                (open, used) = (*at, 0);
            }
            used += u128::from(*cost);
        }
        if now >= open + window { 0 } else { used }
    }
}

fn scale(quota: &Quota) -> u128 {
    u128::from(quota.window_micros())
}
