//! The contract for limits, which the counters of one process fulfil together at a fixed time.

use std::{future::ready, sync::Arc, time::Duration};

use super::MemoryLimits;
use crate::{
    error::{Error, Kind},
    quota::CombinedDecision,
    store::{
        contracts::{
            StoreFuture,
            limits::{Limits, Refund, Rule, suite},
        },
        memory::counters::Counters,
    },
};

#[tokio::test]
async fn behaves_as_limits() {
    suite::run(&|| {
        let store = MemoryLimitsAt {
            limits: Arc::new(MemoryLimits::new(1000)),
            counters: Arc::default(),
            now: 0,
        };
        Box::new(move |now| {
            Arc::new(MemoryLimitsAt {
                now,
                ..store.clone()
            })
        })
    })
    .await;
}

/// The counters of one process at a fixed time.
#[derive(Clone, Debug)]
struct MemoryLimitsAt {
    limits: Arc<MemoryLimits>,
    counters: Arc<Counters>,
    now: u64,
}

impl Limits for MemoryLimitsAt {
    fn acquire(
        &self,
        subject: &[u8],
        rules: &[Rule<'_>],
    ) -> StoreFuture<'static, CombinedDecision> {
        Box::pin(ready(Ok(self.limits.acquire(subject, rules, self.now))))
    }

    fn refund(&self, subject: &[u8], refunds: &[Refund<'_>]) -> StoreFuture<'static, ()> {
        self.limits.refund(subject, refunds, self.now);
        Box::pin(ready(Ok(())))
    }

    fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, CombinedDecision> {
        Box::pin(ready(Ok(self.limits.peek(subject, rules, self.now))))
    }

    fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> StoreFuture<'static, ()> {
        self.limits.reset(subject, rules);
        Box::pin(ready(Ok(())))
    }

    fn increment(&self, key: &str, amount: i64, ttl: Duration) -> StoreFuture<'static, i64> {
        let ttl = u64::try_from(ttl.as_micros()).expect("in range");
        let sum = self.counters.increment(key, amount, ttl, self.now);
        let overflow = || Error::new(Kind::Refused, "the counter would overflow");
        Box::pin(ready(sum.ok_or_else(overflow)))
    }

    fn counter(&self, key: &str) -> StoreFuture<'static, Option<i64>> {
        Box::pin(ready(Ok(self.counters.sum(key, self.now))))
    }
}
