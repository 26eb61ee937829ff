//! The contract for limits.

use std::{fmt, time::Duration};

use super::StoreFuture;
use crate::quota::{Charge, CombinedDecision, Quota};

/// Counts the use of quotas by limit and subject. Every method is one atomic step for all rules of a
/// subject.
///
/// The futures are `'static`, so that a dropped request can leave its future to another task.
pub(crate) trait Limits: fmt::Debug + Send + Sync {
    /// Charges all rules, or none if a non-shadow rule refuses.
    fn acquire(&self, subject: &[u8], rules: &[Rule<'_>])
    -> StoreFuture<'static, CombinedDecision>;

    /// Gives back charges that still count. Never creates a counter.
    fn refund(&self, subject: &[u8], refunds: &[Refund<'_>]) -> StoreFuture<'static, ()>;

    /// Returns the remaining quota, without charging.
    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, CombinedDecision>;

    /// Removes the counters.
    fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, ()>;

    /// Adds to a plain counter, which lives for `ttl` from its first use; returns the sum.
    fn increment(&self, key: &str, amount: i64, ttl: Duration) -> StoreFuture<'static, i64>;

    /// Returns the sum of a plain counter; `None` if there is no such counter.
    fn counter(&self, key: &str) -> StoreFuture<'static, Option<i64>>;
}

/// One limit, and the charge under it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule<'a> {
    pub(crate) limit: Counter<'a>,
    pub(crate) charge: Charge,
}

/// A charge to be given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refund<'a> {
    pub(crate) limit: Counter<'a>,
    pub(crate) quota: Quota,
    pub(crate) cost: u64,
    /// [`RuleDecision::anchor`](crate::quota::RuleDecision::anchor) of the charge.
    pub(crate) anchor: u64,
}

/// Identifies a counter of a subject: `ratelimit:{name}:{subject}{rest}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter<'a> {
    /// The limit's name.
    pub(crate) name: &'a str,
    /// A further division of the subject, by route for instance: empty, or a colon and escaped text.
    pub(crate) rest: &'a [u8],
}

#[cfg(test)]
pub(in crate::store) mod suite;
