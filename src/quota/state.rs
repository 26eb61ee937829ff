use super::{
    Algorithm, Outcome, Quota, Ruling, counting, fixed::Fixed, gcra::Gcra, sliding::Sliding,
};

/// What is remembered of one subject under one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Sliding(Sliding),
    Fixed(Fixed),
    Gcra(Gcra),
}

impl State {
    /// Everything used up at `now`.
    pub(crate) fn spent(quota: &Quota, now: u64) -> Self {
        Self::acquire(None, quota, now, quota.capacity).state
    }

    /// Decides at `now` whether `cost` is admitted; the state is charged only if it is. A state of
    /// another algorithm is as good as none.
    #[inline]
    pub(crate) fn acquire(state: Option<Self>, quota: &Quota, now: u64, cost: u64) -> Ruling {
        match quota.algorithm {
            Algorithm::SlidingWindow => {
                let state = state.and_then(Self::sliding);
                let (state, outcome) = counting::acquire(state, quota, now, cost);
                Ruling::new(Self::Sliding(state), outcome)
            }
            Algorithm::FixedWindow => {
                let state = state.and_then(Self::fixed);
                let (state, outcome) = counting::acquire(state, quota, now, cost);
                Ruling::new(Self::Fixed(state), outcome)
            }
            Algorithm::Gcra => {
                let state = state.and_then(Self::gcra).map(|s| s.ahead(quota, now));
                let (state, outcome) = counting::acquire(state, quota, now, cost);
                Ruling::new(Self::Gcra(state.of(quota, now)), outcome)
            }
        }
    }

    /// The state as it is at `now`, and what is left, nothing charged.
    pub(crate) fn peek(state: Option<Self>, quota: &Quota, now: u64) -> (Self, Outcome) {
        match quota.algorithm {
            Algorithm::SlidingWindow => {
                let (state, outcome) = counting::peek(state.and_then(Self::sliding), quota, now);
                (Self::Sliding(state), outcome)
            }
            Algorithm::FixedWindow => {
                let (state, outcome) = counting::peek(state.and_then(Self::fixed), quota, now);
                (Self::Fixed(state), outcome)
            }
            Algorithm::Gcra => {
                let state = state.and_then(Self::gcra).map(|s| s.ahead(quota, now));
                let (state, outcome) = counting::peek(state, quota, now);
                (Self::Gcra(state.of(quota, now)), outcome)
            }
        }
    }

    /// When the state is as good as none.
    pub(crate) fn expires(&self, quota: &Quota) -> u64 {
        match self {
            Self::Sliding(s) => s.expires(quota),
            Self::Fixed(s) => s.end,
            Self::Gcra(s) => s.expires(),
        }
    }

    /// Names where a charge fell: a refund finds it again.
    pub(crate) fn anchor(&self) -> u64 {
        match self {
            Self::Sliding(s) => s.start,
            Self::Fixed(s) => s.end,
            Self::Gcra(s) => s.micros,
        }
    }

    /// The state without the `cost` whose charge led to `anchor`; what has left the window or
    /// drained by `now` is not given back a second time.
    pub(crate) fn refund(self, quota: &Quota, now: u64, anchor: u64, cost: u64) -> Self {
        let cost = quota.clamp(cost);
        match (self, quota.algorithm) {
            (Self::Sliding(s), Algorithm::SlidingWindow) => {
                Self::Sliding(s.refund(quota, anchor, cost))
            }
            (Self::Fixed(s), Algorithm::FixedWindow) => Self::Fixed(s.refund(anchor, cost)),
            (Self::Gcra(s), Algorithm::Gcra) => Self::Gcra(s.refund(quota, now, anchor, cost)),
            // counted anew by another algorithm since
            _ => self,
        }
    }

    fn sliding(self) -> Option<Sliding> {
        match self {
            Self::Sliding(s) => Some(s),
            _ => None,
        }
    }

    fn fixed(self) -> Option<Fixed> {
        match self {
            Self::Fixed(s) => Some(s),
            _ => None,
        }
    }

    fn gcra(self) -> Option<Gcra> {
        match self {
            Self::Gcra(s) => Some(s),
            _ => None,
        }
    }
}
