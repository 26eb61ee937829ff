use super::{Algorithm, Outcome, Quota, fixed::Fixed, gcra::Gcra, sliding::Sliding};

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
        let fresh = Self::settle(quota, None, now);
        fresh.charge(quota, now, quota.capacity).unwrap_or(fresh)
    }

    /// The state as it is at `now`; one of another algorithm is as good as none.
    pub(crate) fn settle(quota: &Quota, state: Option<Self>, now: u64) -> Self {
        match quota.algorithm {
            Algorithm::SlidingWindow => {
                let state = state.and_then(Self::sliding);
                Self::Sliding(Sliding::settle(state, quota, now))
            }
            Algorithm::FixedWindow => {
                let state = state.and_then(Self::fixed);
                Self::Fixed(Fixed::settle(state, quota, now))
            }
            Algorithm::Gcra => Self::Gcra(Gcra::settle(state.and_then(Self::gcra), quota, now)),
        }
    }

    /// The settled state with `cost` charged, if the quota admits it.
    pub(super) fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self> {
        match self {
            Self::Sliding(s) => s.charge(quota, now, cost).map(Self::Sliding),
            Self::Fixed(s) => s.charge(quota, cost).map(Self::Fixed),
            Self::Gcra(s) => s.charge(quota, now, cost).map(Self::Gcra),
        }
    }

    /// What the settled state means; `refused` is the cost that did not fit.
    pub(super) fn outcome(&self, quota: &Quota, now: u64, refused: Option<u64>) -> Outcome {
        let remaining = self.remaining(quota, now);
        let more_after = if remaining == 0 {
            self.retry_after(quota, now, 1)
        } else {
            self.more_after(quota, now)
        };
        Outcome {
            admitted: refused.is_none(),
            remaining,
            retry_after: refused.map_or(Some(0), |cost| self.retry_after(quota, now, cost)),
            more_after,
        }
    }

    fn remaining(&self, quota: &Quota, now: u64) -> u64 {
        match self {
            Self::Sliding(s) => quota.limit.saturating_sub(s.used(quota, now)),
            Self::Fixed(s) => quota.limit.saturating_sub(s.used),
            Self::Gcra(s) => s.remaining(quota, now),
        }
    }

    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64> {
        match self {
            Self::Sliding(s) => s.retry_after(quota, now, cost),
            Self::Fixed(s) => s.retry_after(quota, now, cost),
            Self::Gcra(s) => s.retry_after(quota, now, cost),
        }
    }

    fn more_after(&self, quota: &Quota, now: u64) -> Option<u64> {
        match self {
            Self::Sliding(s) => s.more_after(quota, now),
            Self::Fixed(s) => s.more_after(now),
            Self::Gcra(s) => s.more_after(quota, now),
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
