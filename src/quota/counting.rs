//! What the algorithms have in common: a decision, and what is told of it.

use super::{Outcome, Quota};

/// The state of an algorithm. All but [`settle`](Self::settle) is asked of a settled one.
pub(super) trait Counting: Copy {
    /// The state as it is at `now`; fresh if there is none.
    fn settle(state: Option<Self>, quota: &Quota, now: u64) -> Self;

    /// The state with `cost` charged, if the quota admits it.
    fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self>;

    /// Whole units left.
    fn remaining(&self, quota: &Quota, now: u64) -> u64;

    /// After how long a refused `cost` fits; `None`: never.
    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64>;

    /// After how long the whole units left are more than `remaining`; `None` if nothing is used.
    fn more_after(&self, quota: &Quota, now: u64, remaining: u64) -> Option<u64>;
}

/// Decides at `now` whether `cost` is admitted; the state is charged only if it is.
#[inline]
pub(super) fn acquire<S: Counting>(
    state: Option<S>,
    quota: &Quota,
    now: u64,
    cost: u64,
) -> (S, Outcome) {
    let state = S::settle(state, quota, now);
    match state.charge(quota, now, quota.clamp(cost)) {
        Some(charged) => (charged, outcome(&charged, quota, now, None)),
        None => (state, outcome(&state, quota, now, Some(cost))),
    }
}

/// What is left at `now`, nothing charged.
pub(super) fn peek<S: Counting>(state: Option<S>, quota: &Quota, now: u64) -> (S, Outcome) {
    let state = S::settle(state, quota, now);
    (state, outcome(&state, quota, now, None))
}

/// What the settled state means; `refused` is the cost that did not fit.
#[inline]
fn outcome<S: Counting>(state: &S, quota: &Quota, now: u64, refused: Option<u64>) -> Outcome {
    let remaining = state.remaining(quota, now);
    let more_after = if remaining == 0 {
        state.retry_after(quota, now, 1)
    } else {
        state.more_after(quota, now, remaining)
    };
    Outcome {
        admitted: refused.is_none(),
        remaining,
        retry_after: refused.map_or(Some(0), |cost| state.retry_after(quota, now, cost)),
        more_after,
    }
}
