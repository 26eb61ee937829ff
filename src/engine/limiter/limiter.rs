use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::Extensions;

use super::{
    metrics::{LimitEvent, LimitMetrics},
    refusals::{KnownRefusals, Refusals},
};
use crate::{
    clock::Clock,
    error::{Error, Kind},
    quota::{CombinedDecision, RuleDecision},
    store::{
        contracts::{
            StoreFuture,
            limits::{Limits, Refund, Rule},
        },
        memory::{
            counters::Counters,
            limits::{DEFAULT_CAPACITY, MemoryLimits},
        },
    },
    table::LimitPlan,
};

/// Decides rate limits and counts their use, for all layers and clones of one keep.
pub(crate) struct Limiter {
    clock: Arc<Clock>,
    /// Decides if there is no shared store, or while it does not answer.
    local: MemoryLimits,
    shared: Option<Arc<dyn Limits>>,
    refusals: Refusals,
    /// The plain counters of [`increment`](Self::increment) if there is no shared store.
    counters: Counters,
    /// In the order of the table's limits.
    metrics: ArcSwap<Vec<LimitMetrics>>,
    peer: ArcSwapOption<Box<PeerFn>>,
    warned_of_repetition: AtomicBool,
    warned_of_no_address: AtomicBool,
}

type PeerFn = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

impl Limiter {
    pub(crate) fn new(clock: Arc<Clock>, shared: Option<Arc<dyn Limits>>) -> Self {
        Self {
            clock,
            local: MemoryLimits::new(DEFAULT_CAPACITY),
            shared,
            refusals: Refusals::new(),
            counters: Counters::default(),
            metrics: ArcSwap::default(),
            peer: ArcSwapOption::empty(),
            warned_of_repetition: AtomicBool::new(false),
            warned_of_no_address: AtomicBool::new(false),
        }
    }

    /// Whether other processes may share the counters.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Decides in the shared store, or in this process if there is none. A refusal of the store is
    /// remembered for [`known_refusals`](Self::known_refusals).
    ///
    /// # Errors
    ///
    /// If the store does not answer. It may have counted the request nevertheless.
    pub(crate) async fn acquire(
        &self,
        subject: &[u8],
        rules: &[Rule<'_>],
    ) -> Result<CombinedDecision, Error> {
        let Some(shared) = &self.shared else {
            return Ok(self.acquire_locally(subject, rules));
        };
        let decision = shared.acquire(subject, rules).await.inspect_err(|error| {
            tracing::debug!(%error, "the store did not decide a rate limit; deciding without it");
        })?;
        if !decision.admitted {
            let now = self.now();
            self.refusals.remember(subject, rules, &decision, now);
        }
        Ok(decision)
    }

    /// Decides by this process's counters.
    pub(crate) fn acquire_locally(&self, subject: &[u8], rules: &[Rule<'_>]) -> CombinedDecision {
        self.local.acquire(subject, rules, self.now())
    }

    /// [`acquire_locally`](Self::acquire_locally) for one rule.
    #[inline]
    pub(crate) fn acquire_one_locally(&self, subject: &[u8], rule: &Rule<'_>) -> RuleDecision {
        self.local.acquire_one(subject, rule, self.now())
    }

    /// The recent refusals of the store that still hold for these rules; `None` if there are none.
    pub(crate) fn known_refusals(
        &self,
        subject: &[u8],
        rules: &[Rule<'_>],
    ) -> Option<KnownRefusals> {
        self.shared.as_ref()?;
        self.refusals.look_up(subject, rules, self.now())
    }

    /// Refunds charges in the shared store, or in this process if there is none. If a future is
    /// returned, the caller must run it.
    pub(crate) fn refund(
        &self,
        subject: &[u8],
        refunds: &[Refund<'_>],
    ) -> Option<StoreFuture<'static, ()>> {
        let Some(shared) = &self.shared else {
            self.refund_locally(subject, refunds);
            return None;
        };
        Some(shared.refund(subject, refunds))
    }

    /// Refunds charges that this process counted.
    pub(crate) fn refund_locally(&self, subject: &[u8], refunds: &[Refund<'_>]) {
        self.local.refund(subject, refunds, self.now());
    }

    /// The remaining quota of each rule; by this process's counters if the store does not answer.
    pub(crate) async fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> CombinedDecision {
        if let Some(shared) = &self.shared
            && let Ok(decision) = shared.peek(subject, rules).await
        {
            return decision;
        }
        self.local.peek(subject, rules, self.now())
    }

    /// Resets the counters and forgets the known refusals.
    pub(crate) async fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> Result<(), Error> {
        self.local.reset(subject, rules);
        self.refusals.forget(subject, rules);
        match &self.shared {
            Some(shared) => shared.reset(subject, rules).await,
            None => Ok(()),
        }
    }

    /// Adds to a plain counter, which expires `ttl` after its first use.
    pub(crate) async fn increment(
        &self,
        key: &str,
        amount: i64,
        ttl: Duration,
    ) -> Result<i64, Error> {
        if let Some(shared) = &self.shared {
            return shared.increment(key, amount, ttl).await;
        }
        let ttl = u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX);
        let sum = self.counters.increment(key, amount, ttl, self.now());
        sum.ok_or_else(|| Error::new(Kind::Refused, format!("the counter {key:?} would overflow")))
    }

    /// The sum of a plain counter; `None` if there is no such counter.
    pub(crate) async fn counter(&self, key: &str) -> Result<Option<i64>, Error> {
        match &self.shared {
            Some(shared) => shared.counter(key).await,
            None => Ok(self.counters.sum(key, self.now())),
        }
    }

    /// Registers the metrics of a table's limits.
    pub(crate) fn register(&self, limits: &[LimitPlan]) {
        let metrics = limits
            .iter()
            .map(|limit| LimitMetrics::register(&limit.name));
        self.metrics.store(Arc::new(metrics.collect()));
    }

    /// Counts events in the metrics of limits. Each limit is given by its index in the table.
    pub(crate) fn count(&self, events: impl Iterator<Item = (usize, LimitEvent)>) {
        let metrics = self.metrics.load();
        for (limit, event) in events {
            if let Some(metrics) = metrics.get(limit) {
                metrics.count(event);
            }
        }
    }

    /// Sets the function that finds a request's peer address if no extension contains it.
    pub(crate) fn set_peer(&self, peer: Box<PeerFn>) {
        self.peer.store(Some(Arc::new(peer)));
    }

    /// The peer address that the function of [`set_peer`](Self::set_peer) finds.
    pub(crate) fn peer(&self, extensions: &Extensions) -> Option<IpAddr> {
        self.peer.load().as_ref().and_then(|peer| peer(extensions))
    }

    /// Logs once that two layers apply the same limit to a request.
    pub(crate) fn warn_of_repetition(&self, limit: &str) {
        if !self.warned_of_repetition.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                limit,
                "two layers apply the same limit to a request, which is counted once; select the \
                 limits of each layer with `RateLimitLayer::only`"
            );
        }
    }

    /// Logs once that the address of a counted request is unknown.
    pub(crate) fn warn_of_no_address(&self) {
        if !self.warned_of_no_address.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests without a known address share one counter; in axum serve with \
                 `into_make_service_with_connect_info` and the feature `axum`, elsewhere set a \
                 function that finds the address with `Keep::peer`"
            );
        }
    }

    /// The time in microseconds, by a clock that never steps back.
    fn now(&self) -> u64 {
        self.clock.mono() / 1000
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::{
        quota::{Charge, Quota},
        store::contracts::limits::Counter,
    };

    #[test]
    fn a_step_of_the_wall_clock_admits_no_more() {
        let nanos = Arc::new(AtomicU64::new(1_000_000_000_000));
        let clock = Arc::new(Clock::manual(nanos));
        let limiter = Limiter::new(Arc::clone(&clock), None);
        let rule = Rule {
            limit: Counter {
                name: "api",
                rest: b"",
            },
            charge: Charge {
                quota: Quota::per_minute(1),
                cost: 1,
                shadow: false,
            },
        };
        let admits = || limiter.acquire_one_locally(b"u", &rule).outcome.admitted;
        assert!(admits());
        for wall in [Duration::ZERO, Duration::from_secs(1 << 32)] {
            clock.set_wall(clock.mono(), wall);
            assert!(!admits(), "{wall:?}");
        }
    }
}
