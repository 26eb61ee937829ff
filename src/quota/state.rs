use super::{
    algorithm::Algorithm, algorithm_state, fixed_window::FixedWindowState, gcra::GcraState,
    outcome::QuotaOutcome, quota::Quota, sliding_window::SlidingWindowState,
};

/// What one subject has used under one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuotaState {
    SlidingWindow(SlidingWindowState),
    FixedWindow(FixedWindowState),
    Gcra(GcraState),
}

impl QuotaState {
    /// The state of a subject that has used up its quota at `now`.
    pub(crate) fn spent(quota: &Quota, now: u64) -> Self {
        Self::acquire(None, quota, now, quota.capacity).0
    }

    /// Decides at `now` whether `cost` is admitted; the state is charged only if it is. A state of
    /// another algorithm counts as none.
    #[inline]
    pub(crate) fn acquire(
        state: Option<Self>,
        quota: &Quota,
        now: u64,
        cost: u64,
    ) -> (Self, QuotaOutcome) {
        match quota.algorithm {
            Algorithm::SlidingWindow => {
                let state = state.and_then(Self::sliding_window);
                let (state, outcome) = algorithm_state::acquire(state, quota, now, cost);
                (Self::SlidingWindow(state), outcome)
            }
            Algorithm::FixedWindow => {
                let state = state.and_then(Self::fixed_window);
                let (state, outcome) = algorithm_state::acquire(state, quota, now, cost);
                (Self::FixedWindow(state), outcome)
            }
            Algorithm::Gcra => {
                let backlog = state.and_then(Self::gcra).map(|s| s.backlog(quota, now));
                let (backlog, outcome) = algorithm_state::acquire(backlog, quota, now, cost);
                (Self::Gcra(backlog.after(quota, now)), outcome)
            }
        }
    }

    /// The state at `now` and what is left, with nothing charged.
    pub(crate) fn peek(state: Option<Self>, quota: &Quota, now: u64) -> (Self, QuotaOutcome) {
        match quota.algorithm {
            Algorithm::SlidingWindow => {
                let state = state.and_then(Self::sliding_window);
                let (state, outcome) = algorithm_state::peek(state, quota, now);
                (Self::SlidingWindow(state), outcome)
            }
            Algorithm::FixedWindow => {
                let state = state.and_then(Self::fixed_window);
                let (state, outcome) = algorithm_state::peek(state, quota, now);
                (Self::FixedWindow(state), outcome)
            }
            Algorithm::Gcra => {
                let backlog = state.and_then(Self::gcra).map(|s| s.backlog(quota, now));
                let (backlog, outcome) = algorithm_state::peek(backlog, quota, now);
                (Self::Gcra(backlog.after(quota, now)), outcome)
            }
        }
    }

    /// When the state equals a fresh one.
    pub(crate) fn expires(&self, quota: &Quota) -> u64 {
        match self {
            Self::SlidingWindow(s) => s.expires(quota),
            Self::FixedWindow(s) => s.end,
            Self::Gcra(s) => s.expires(),
        }
    }

    /// The time by which a refund recognises where a charge was counted.
    pub(crate) fn anchor(&self) -> u64 {
        match self {
            Self::SlidingWindow(s) => s.start,
            Self::FixedWindow(s) => s.end,
            Self::Gcra(s) => s.micros,
        }
    }

    /// The state without the `cost` whose charge led to `anchor`. What has left the window or drained
    /// by `now` is not given back a second time.
    pub(crate) fn refund(self, quota: &Quota, now: u64, anchor: u64, cost: u64) -> Self {
        let cost = quota.clamp(cost);
        match (self, quota.algorithm) {
            (Self::SlidingWindow(s), Algorithm::SlidingWindow) => {
                Self::SlidingWindow(s.refund(quota, anchor, cost))
            }
            (Self::FixedWindow(s), Algorithm::FixedWindow) => {
                Self::FixedWindow(s.refund(anchor, cost))
            }
            (Self::Gcra(s), Algorithm::Gcra) => Self::Gcra(s.refund(quota, now, anchor, cost)),
            // the charge was counted by an algorithm that is no longer in use
            _ => self,
        }
    }

    fn sliding_window(self) -> Option<SlidingWindowState> {
        match self {
            Self::SlidingWindow(s) => Some(s),
            _ => None,
        }
    }

    fn fixed_window(self) -> Option<FixedWindowState> {
        match self {
            Self::FixedWindow(s) => Some(s),
            _ => None,
        }
    }

    fn gcra(self) -> Option<GcraState> {
        match self {
            Self::Gcra(s) => Some(s),
            _ => None,
        }
    }
}
