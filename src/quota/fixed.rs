//! The fixed window: a counter that is forgotten when its window ends.

use super::{Quota, counting::Counting};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    /// When the window ends.
    pub(crate) end: u64,
    pub(crate) used: u64,
}

impl Counting for Fixed {
    /// The state of the window that `now` lies in; a new window begins now.
    #[inline]
    fn settle(state: Option<Self>, quota: &Quota, now: u64) -> Self {
        let end = now.saturating_add(quota.window);
        match state {
            // never longer than a window from now: the clock may have stepped back
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

impl Fixed {
    pub(super) fn refund(&self, end: u64, cost: u64) -> Self {
        let cost = if end == self.end { cost } else { 0 };
        Self {
            used: self.used.saturating_sub(cost),
            ..*self
        }
    }
}
