//! The contract of what counts the use of quotas.

use std::{fmt, time::Duration};

use super::StoreFuture;
use crate::quota::{Charge, CombinedDecision, Quota};

/// Counters by limit and subject. Every verb is one atomic step for all rules of a subject.
///
/// Futures own what they need: one that is dropped unfinished can be finished elsewhere.
pub(crate) trait Limits: fmt::Debug + Send + Sync {
    /// Charges every rule, or none of them if one that is no shadow refuses.
    fn acquire(&self, subject: &[u8], rules: &[Rule<'_>])
    -> StoreFuture<'static, CombinedDecision>;

    /// Gives back what was charged, as far as it still counts. Never creates a counter.
    fn refund(&self, subject: &[u8], refunds: &[Refund<'_>]) -> StoreFuture<'static, ()>;

    /// What is left, without charging.
    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, CombinedDecision>;

    /// Forgets what was used.
    fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, ()>;

    /// Adds to a plain counter, whose time to live begins when it is made; answers with the sum.
    fn increment(&self, key: &str, amount: i64, ttl: Duration) -> StoreFuture<'static, i64>;
}

/// One limit that a request's subject is under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule<'a> {
    pub(crate) limit: Counter<'a>,
    pub(crate) charge: Charge,
}

/// What has to be given back under one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refund<'a> {
    pub(crate) limit: Counter<'a>,
    pub(crate) quota: Quota,
    pub(crate) cost: u64,
    /// [`QuotaState::anchor`](crate::quota::QuotaState::anchor) of the state after the charge.
    pub(crate) anchor: u64,
}

/// Which of a subject's counters: `ratelimit:{name}:{subject}{rest}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counter<'a> {
    /// The limit's name.
    pub(crate) name: &'a str,
    /// What divides the subject further, the route for instance: empty, or a colon and escaped text.
    pub(crate) rest: &'a [u8],
}
