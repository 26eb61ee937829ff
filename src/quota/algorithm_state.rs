//! The decision that all algorithms share.

use super::{outcome::QuotaOutcome, quota::Quota};

/// The state of an algorithm. All methods but [`settle`](Self::settle) expect a settled state.
pub(super) trait AlgorithmState: Copy {
    /// The state at `now`; a fresh one if there is none.
    fn settle(state: Option<Self>, quota: &Quota, now: u64) -> Self;

    /// The state with `cost` charged, if the quota admits it.
    fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self>;

    /// Whole units left.
    fn remaining(&self, quota: &Quota, now: u64) -> u64;

    /// The time until a refused `cost` fits; `None` if it never will.
    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64>;

    /// The time until more whole units than `remaining` are left; `None` if nothing is used.
    fn more_after(&self, quota: &Quota, now: u64, remaining: u64) -> Option<u64>;
}

/// Decides at `now` whether `cost` is admitted; the state is charged only if it is.
#[inline]
pub(super) fn acquire<S: AlgorithmState>(
    state: Option<S>,
    quota: &Quota,
    now: u64,
    cost: u64,
) -> (S, QuotaOutcome) {
    let state = S::settle(state, quota, now);
    match state.charge(quota, now, quota.clamp(cost)) {
        Some(charged) => (charged, outcome(&charged, quota, now, None)),
        None => (state, outcome(&state, quota, now, Some(cost))),
    }
}

/// The state at `now`, with nothing charged.
pub(super) fn peek<S: AlgorithmState>(
    state: Option<S>,
    quota: &Quota,
    now: u64,
) -> (S, QuotaOutcome) {
    let state = S::settle(state, quota, now);
    (state, outcome(&state, quota, now, None))
}

/// The outcome of a settled state; `refused` is the cost that did not fit.
#[inline]
fn outcome<S: AlgorithmState>(
    state: &S,
    quota: &Quota,
    now: u64,
    refused: Option<u64>,
) -> QuotaOutcome {
    let remaining = state.remaining(quota, now);
    let more_after = if remaining == 0 {
        state.retry_after(quota, now, 1)
    } else {
        state.more_after(quota, now, remaining)
    };
    QuotaOutcome {
        admitted: refused.is_none(),
        remaining,
        retry_after: refused.map_or(Some(0), |cost| state.retry_after(quota, now, cost)),
        more_after,
    }
}
