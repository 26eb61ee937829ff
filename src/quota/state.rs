use super::{
    algorithm_state::{QuotaOutcome, decide},
    fixed_window::FixedWindowState,
    gcra::GcraState,
    quota::{Algorithm, Quota},
    sliding_window::SlidingWindowState,
};

/// The use of one limit by one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QuotaState {
    SlidingWindow(SlidingWindowState),
    FixedWindow(FixedWindowState),
    Gcra(GcraState),
}

impl QuotaState {
    /// The state of a subject that has used nothing.
    pub(crate) fn fresh(quota: &Quota, now: u64) -> Self {
        match quota.algorithm {
            Algorithm::SlidingWindow => Self::SlidingWindow(SlidingWindowState::default()),
            Algorithm::FixedWindow => Self::FixedWindow(FixedWindowState { end: now, used: 0 }),
            Algorithm::Gcra => Self::Gcra(GcraState {
                micros: now,
                part: 0,
            }),
        }
    }

    /// The state of a subject that has used up its quota at `now`.
    #[cfg(test)]
    pub(crate) fn spent(quota: &Quota, now: u64) -> Self {
        Self::after_use(quota, now, quota.capacity)
    }

    /// The state of a subject that has used `used` quota units at `now`, at most its whole quota, and
    /// none before.
    pub(crate) fn after_use(quota: &Quota, now: u64, used: u64) -> Self {
        let mut state = Self::fresh(quota, now);
        state.decide(quota, now, Some(used.min(quota.capacity)));
        state
    }

    /// Whether `cost` is admitted at `now`. A state of another algorithm is replaced by a fresh one.
    pub(crate) fn admits(&mut self, quota: &Quota, now: u64, cost: u64) -> bool {
        self.adopt(quota, now);
        match self {
            Self::SlidingWindow(s) => s.admits(quota, now, cost),
            Self::FixedWindow(s) => decide(*s, quota, now, Some(cost)).1.admitted,
            Self::Gcra(s) => {
                let backlog = s.backlog(quota, now);
                decide(backlog, quota, now, Some(cost)).1.admitted
            }
        }
    }

    /// Decides at `now` whether `cost` is admitted, and charges it if it is. Without a cost, nothing is
    /// charged or refused. A state of another algorithm is replaced by a fresh one.
    #[inline]
    pub(crate) fn decide(&mut self, quota: &Quota, now: u64, cost: Option<u64>) -> QuotaOutcome {
        self.adopt(quota, now);
        match self {
            Self::SlidingWindow(s) => s.decide(quota, now, cost),
            Self::FixedWindow(s) => {
                let (next, outcome) = decide(*s, quota, now, cost);
                if cost.is_some() && outcome.admitted {
                    *s = next;
                }
                outcome
            }
            Self::Gcra(s) => {
                let (backlog, outcome) = decide(s.backlog(quota, now), quota, now, cost);
                if cost.is_some() && outcome.admitted {
                    *s = backlog.after(quota, now);
                }
                outcome
            }
        }
    }

    #[inline]
    fn adopt(&mut self, quota: &Quota, now: u64) {
        if self.algorithm() != quota.algorithm {
            *self = Self::fresh(quota, now);
        }
    }

    /// The time from which the state equals a fresh one.
    pub(crate) fn expires(&self, quota: &Quota) -> u64 {
        match self {
            Self::SlidingWindow(s) => s.expires(quota),
            Self::FixedWindow(s) => s.end,
            Self::Gcra(s) => s.expires(),
        }
    }

    /// The time that identifies where a charge at `now` was counted, for a later refund.
    pub(crate) fn anchor(&self, now: u64) -> u64 {
        match self {
            Self::SlidingWindow(_) => now,
            Self::FixedWindow(s) => s.end,
            Self::Gcra(s) => s.micros,
        }
    }

    /// Refunds `cost`, whose charge led to `anchor`. The part that has left the window or drained by
    /// `now` is not refunded.
    pub(crate) fn refund(&mut self, quota: &Quota, now: u64, anchor: u64, cost: u64) {
        if self.algorithm() != quota.algorithm {
            // The charge was counted by an algorithm that is no longer in use.
            return;
        }
        let cost = quota.clamp(cost);
        match self {
            Self::SlidingWindow(s) => s.refund(quota, anchor, cost),
            Self::FixedWindow(s) => *s = s.refund(anchor, cost),
            Self::Gcra(s) => *s = s.refund(quota, now, anchor, cost),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::SlidingWindow(_) => Algorithm::SlidingWindow,
            Self::FixedWindow(_) => Algorithm::FixedWindow,
            Self::Gcra(_) => Algorithm::Gcra,
        }
    }
}
