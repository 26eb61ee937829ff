//! The sliding-window counter: the use of the current window, and that of the previous one in
//! proportion to the part of it that the last `window` microseconds still cover.
//!
//! A subject's windows start at its first request, not at round times of the clock, so that a
//! client that sends as fast as it can from then on never gets more than the limit in any window.

use super::{
    algorithm_state::AlgorithmState,
    math::{mul_div, mul_div_ceil},
    quota::Quota,
};

/// The state of a sliding window: the use of the current window and of the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlidingWindowState {
    /// When the current window began.
    pub(crate) start: u64,
    pub(crate) current: u64,
    pub(crate) previous: u64,
}

impl AlgorithmState for SlidingWindowState {
    /// The state in the window that contains `now`.
    #[inline]
    fn settle(self, quota: &Quota, now: u64) -> Self {
        match now.checked_sub(self.start) {
            // The clock stepped back: treat the window as just begun.
            None => Self { start: now, ..self },
            Some(elapsed) if elapsed < quota.window => self,
            Some(elapsed) if elapsed - quota.window < quota.window => Self {
                start: self.start + quota.window,
                current: 0,
                previous: self.current,
            },
            Some(_) => Self::fresh(now),
        }
    }

    #[inline]
    fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self> {
        let used = self.used(quota, now).checked_add(cost)?;
        (used <= quota.limit).then(|| Self {
            current: self.current + cost,
            ..*self
        })
    }

    fn remaining(&self, quota: &Quota, now: u64) -> u64 {
        quota.limit.saturating_sub(self.used(quota, now))
    }

    #[inline]
    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64> {
        let free = quota.limit.checked_sub(cost)?;
        let left = self.left(quota, now);
        Some(match free.checked_sub(self.current) {
            Some(free) => left - time_left_at(self.previous, free, quota),
            None => left + quota.window - time_left_at(self.current, free, quota),
        })
    }
}

impl SlidingWindowState {
    pub(super) fn fresh(now: u64) -> Self {
        Self {
            start: now,
            current: 0,
            previous: 0,
        }
    }

    /// The time left of the current window.
    fn left(&self, quota: &Quota, now: u64) -> u64 {
        quota.window - (now - self.start)
    }

    /// The part of the previous window's use that still counts, rounded up.
    fn previous_share(&self, quota: &Quota, now: u64) -> u64 {
        if self.previous == 0 {
            return 0;
        }
        mul_div_ceil(self.previous, self.left(quota, now), quota.window)
    }

    fn used(&self, quota: &Quota, now: u64) -> u64 {
        self.current.saturating_add(self.previous_share(quota, now))
    }

    /// The time from which the state equals a fresh one.
    pub(super) fn expires(&self, quota: &Quota) -> u64 {
        self.start.saturating_add(2 * quota.window)
    }

    pub(super) fn refund(&self, quota: &Quota, start: u64, cost: u64) -> Self {
        let mut state = *self;
        if start == state.start {
            state.current = state.current.saturating_sub(cost);
        } else if start.saturating_add(quota.window) == state.start {
            state.previous = state.previous.saturating_sub(cost);
        }
        state
    }
}

/// The longest remaining time of a window at which `used`, weighted by that time, is at most `free`.
fn time_left_at(used: u64, free: u64, quota: &Quota) -> u64 {
    if used <= free {
        return quota.window;
    }
    mul_div(free, quota.window, used).0
}
