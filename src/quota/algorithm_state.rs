//! The trait of the states of a fixed size, and the decision that is the same for all of them.

use super::quota::Quota;

/// The state of an algorithm, of a fixed size. All methods but [`settle`](Self::settle) expect a settled state.
pub(super) trait AlgorithmState: Copy {
    /// The state at `now`.
    fn settle(self, quota: &Quota, now: u64) -> Self;

    /// The state with `cost` charged, if the quota admits it.
    fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self>;

    /// The whole quota units left.
    fn remaining(&self, quota: &Quota, now: u64) -> u64;

    /// The time until a refused `cost` fits; `None` if it never will.
    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64>;
}

/// The outcome of one quota for one request. Times are in microseconds after the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuotaOutcome {
    pub(crate) admitted: bool,
    /// Quota units left after the decision.
    pub(crate) remaining: u64,
    /// The time until the same cost will be admitted if nothing else is used until then: zero if it was
    /// admitted, `None` if it never will be.
    pub(crate) retry_after: Option<u64>,
    /// The time until `remaining` increases; `None` if nothing is used, or if it never increases.
    pub(crate) more_after: Option<u64>,
}

/// Decides at `now` whether `cost` is admitted, and charges the state if it is. Without a cost, nothing
/// is charged or refused.
#[inline]
pub(super) fn decide<S: AlgorithmState>(
    state: S,
    quota: &Quota,
    now: u64,
    cost: Option<u64>,
) -> (S, QuotaOutcome) {
    let settled = state.settle(quota, now);
    let charged = match cost {
        Some(cost) => settled.charge(quota, now, quota.clamp(cost)),
        None => Some(settled),
    };
    let state = charged.unwrap_or(settled);
    let refused = cost.filter(|_| charged.is_none());
    let remaining = state.remaining(quota, now);
    let outcome = QuotaOutcome {
        admitted: refused.is_none(),
        remaining,
        retry_after: refused.map_or(Some(0), |cost| state.retry_after(quota, now, cost)),
        more_after: state.retry_after(quota, now, remaining + 1),
    };
    (state, outcome)
}
