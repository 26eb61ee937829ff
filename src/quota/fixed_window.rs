use super::{algorithm_state::AlgorithmState, quota::Quota};

/// The state of a fixed window: a counter that restarts from zero when its window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FixedWindowState {
    /// When the window ends.
    pub(crate) end: u64,
    pub(crate) used: u64,
}

impl AlgorithmState for FixedWindowState {
    /// The state of the window around `now`; if none is open, one begins at `now`.
    #[inline]
    fn settle(self, quota: &Quota, now: u64) -> Self {
        let end = now.saturating_add(quota.window);
        if self.end <= now {
            return Self { end, used: 0 };
        }
        Self {
            // The clock may have stepped back: the window ends at most one window from now.
            end: self.end.min(end),
            ..self
        }
    }

    #[inline]
    fn charge(&self, quota: &Quota, _: u64, cost: u64) -> Option<Self> {
        let used = self.used.checked_add(cost)?;
        (used <= quota.limit).then_some(Self { used, ..*self })
    }

    fn remaining(&self, quota: &Quota, _: u64) -> u64 {
        quota.limit.saturating_sub(self.used)
    }

    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64> {
        (cost <= quota.limit).then_some(self.end - now)
    }
}

impl FixedWindowState {
    pub(super) fn refund(&self, end: u64, cost: u64) -> Self {
        let cost = if end == self.end { cost } else { 0 };
        Self {
            used: self.used.saturating_sub(cost),
            ..*self
        }
    }
}
