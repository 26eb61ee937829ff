use super::{
    algorithm_state::{QuotaOutcome, decide},
    fixed_window::FixedWindowState,
    gcra::GcraState,
    quota::{Algorithm, Quota},
    sliding_window::SlidingWindowState,
};

/// The use of one limit by one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuotaState {
    SlidingWindow(SlidingWindowState),
    FixedWindow(FixedWindowState),
    Gcra(GcraState),
}

impl QuotaState {
    fn fresh(quota: &Quota, now: u64) -> Self {
        match quota.algorithm {
            Algorithm::SlidingWindow => Self::SlidingWindow(SlidingWindowState::fresh(now)),
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
        Self::decide(None, quota, now, Some(used.min(quota.capacity))).0
    }

    /// Decides at `now` whether `cost` is admitted, and charges the state if it is. Without a cost,
    /// nothing is charged or refused. A state of another algorithm counts as fresh.
    #[inline]
    pub(crate) fn decide(
        state: Option<Self>,
        quota: &Quota,
        now: u64,
        cost: Option<u64>,
    ) -> (Self, QuotaOutcome) {
        let state = state.filter(|state| state.algorithm() == quota.algorithm);
        match state.unwrap_or_else(|| Self::fresh(quota, now)) {
            Self::SlidingWindow(s) => {
                let (s, outcome) = decide(s, quota, now, cost);
                (Self::SlidingWindow(s), outcome)
            }
            Self::FixedWindow(s) => {
                let (s, outcome) = decide(s, quota, now, cost);
                (Self::FixedWindow(s), outcome)
            }
            Self::Gcra(s) => {
                let (backlog, outcome) = decide(s.backlog(quota, now), quota, now, cost);
                (Self::Gcra(backlog.after(quota, now)), outcome)
            }
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

    /// The time that identifies where a charge was counted, for a later refund.
    pub(crate) fn anchor(&self) -> u64 {
        match self {
            Self::SlidingWindow(s) => s.start,
            Self::FixedWindow(s) => s.end,
            Self::Gcra(s) => s.micros,
        }
    }

    /// The state after a refund of `cost`, whose charge led to `anchor`. The part that has left the
    /// window or drained by `now` is not refunded.
    pub(crate) fn refund(self, quota: &Quota, now: u64, anchor: u64, cost: u64) -> Self {
        let cost = quota.clamp(cost);
        match self {
            // The charge was counted by an algorithm that is no longer in use.
            _ if self.algorithm() != quota.algorithm => self,
            Self::SlidingWindow(s) => Self::SlidingWindow(s.refund(quota, anchor, cost)),
            Self::FixedWindow(s) => Self::FixedWindow(s.refund(anchor, cost)),
            Self::Gcra(s) => Self::Gcra(s.refund(quota, now, anchor, cost)),
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
