use super::{algorithm_state::AlgorithmState, quota::Quota};

/// The state of a fixed window: a counter that starts anew when its window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FixedWindowState {
    /// When the window ends.
    pub(crate) end: u64,
    pub(crate) used: u64,
}

impl AlgorithmState for FixedWindowState {
    /// The state of the window around `now`; if none is open, one begins at `now`.
    #[inline]
    fn settle(state: Option<Self>, quota: &Quota, now: u64) -> Self {
        let end = now.saturating_add(quota.window);
        match state {
            // the clock may have stepped back: the window ends at most one window from now
            Some(state) if now < state.end => Self {
                end: state.end.min(end),
                used: state.used,
            },
            _ => Self { end, used: 0 },
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

    fn more_after(&self, _: &Quota, now: u64, _: u64) -> Option<u64> {
        (self.used > 0).then_some(self.end - now)
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
