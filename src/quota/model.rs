//! A second implementation of each algorithm, from its definition: exact fractions over a log of all
//! admissions, without a running state.

use super::quota::{Algorithm, Quota};

/// A log of times and admitted costs.
#[derive(Debug, Default)]
pub(crate) struct Model {
    log: Vec<(u64, u64)>,
}

impl Model {
    /// Whether `cost` is admitted at `now`; if so, it is logged.
    pub(crate) fn acquire(&mut self, quota: &Quota, now: u64, cost: u64) -> bool {
        let fits = self.used(quota, now) + u128::from(cost) * scale(quota)
            <= u128::from(quota.capacity()) * scale(quota);
        if fits && quota.limit() > 0 {
            self.log.push((now, cost));
        }
        fits && quota.limit() > 0
    }

    /// The whole quota units left.
    pub(crate) fn remaining(&self, quota: &Quota, now: u64) -> u64 {
        if quota.limit() == 0 {
            return 0;
        }
        let full = u128::from(quota.capacity()) * scale(quota);
        let left = full.saturating_sub(self.used(quota, now)) / scale(quota);
        u64::try_from(left).expect("no more than the capacity")
    }

    /// The used quota, in `1/window` of a quota unit.
    fn used(&self, quota: &Quota, now: u64) -> u128 {
        match quota.algorithm() {
            Algorithm::Gcra => self.level(quota, now),
            Algorithm::FixedWindow => self.in_window(quota, now) * scale(quota),
            Algorithm::SlidingWindow => self.weighted(quota, now),
        }
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

    /// The current window's sum, plus the previous one's in proportion to the part still covered.
    fn weighted(&self, quota: &Quota, now: u64) -> u128 {
        let window = quota.window_micros();
        let mut first = None;
        let mut last = 0;
        for (at, _) in &self.log {
            let begin = *first.get_or_insert(*at);
            let index = (at - begin) / window;
            // After two whole windows without use, a new sequence of windows begins.
            if index >= last + 2 {
                first = Some(*at);
                last = 0;
            } else {
                last = index;
            }
        }
        let Some(first) = first else { return 0 };
        let index = (now - first) / window;
        let sum = |i: u64| -> u128 {
            let of = |(at, _): &&(u64, u64)| *at >= first && (at - first) / window == i;
            self.log
                .iter()
                .filter(of)
                .map(|(_, c)| u128::from(*c))
                .sum()
        };
        let left = window - (now - first) % window;
        let previous = index.checked_sub(1).map_or(0, sum);
        sum(index) * u128::from(window) + previous * u128::from(left)
    }
}

fn scale(quota: &Quota) -> u128 {
    u128::from(quota.window_micros())
}
