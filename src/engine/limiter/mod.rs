//! What counts for a keep: the store it shares with other processes, if there is one, and the
//! counters of this process.

mod metrics;
mod refusals;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::Extensions;

use crate::{
    clock::Clock,
    error::{Error, Kind},
    quota::{Ruling, Verdict},
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
pub(crate) use metrics::Event;
use metrics::LimitMetrics;
pub(crate) use refusals::Known;
use refusals::Refusals;

type Peer = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// Made once for a keep; every layer and every clone of it counts here.
pub(crate) struct Limiter {
    clock: Arc<Clock>,
    /// All there is, or what serves while the store does not answer.
    local: MemoryLimits,
    shared: Option<Arc<dyn Limits>>,
    refusals: Refusals,
    /// Of this process alone.
    counters: Counters,
    /// By the limits' places in the table.
    metrics: ArcSwap<Vec<LimitMetrics>>,
    peer: ArcSwapOption<Box<Peer>>,
    warned: [AtomicBool; 2],
}

/// The rules of one subject, decided or asked for.
pub(crate) enum Acquired {
    Decided(Verdict),
    Asked(StoreFuture<'static, Verdict>),
}

/// What is said once, however often it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Warning {
    /// A limit met a request for the second time.
    AppliedTwice,
    /// Nobody said from which address a request came.
    NoAddress,
}

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
            warned: Default::default(),
        }
    }

    /// Whether another process may count with this one.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    pub(crate) fn acquire(&self, subject: &[u8], rules: &[Rule<'_>]) -> Acquired {
        match &self.shared {
            None => Acquired::Decided(self.acquire_here(subject, rules)),
            Some(shared) => Acquired::Asked(shared.acquire(subject, rules)),
        }
    }

    /// Decides by this process's counters alone.
    pub(crate) fn acquire_here(&self, subject: &[u8], rules: &[Rule<'_>]) -> Verdict {
        self.local.acquire(subject, rules, self.now())
    }

    /// The same for a subject under one rule.
    #[inline]
    pub(crate) fn acquire_one_here(&self, subject: &[u8], rule: &Rule<'_>) -> Ruling {
        self.local.acquire_one(subject, rule, self.now())
    }

    /// What the store refused not long ago it would refuse again: one entry per rule that is known
    /// to refuse; `None` if none is.
    pub(crate) fn refused(&self, subject: &[u8], rules: &[Rule<'_>]) -> Option<Known> {
        self.shared.as_ref()?;
        self.refusals.look_up(subject, rules, self.now())
    }

    /// Remembers what the store refused.
    pub(crate) fn remember(&self, subject: &[u8], rules: &[Rule<'_>], verdict: &Verdict) {
        if !verdict.admitted {
            self.refusals.remember(subject, rules, verdict, self.now());
        }
    }

    /// Gives back what the store counted. A future is to be driven to its end.
    pub(crate) fn refund(
        &self,
        subject: &[u8],
        refunds: &[Refund<'_>],
    ) -> Option<StoreFuture<'static, ()>> {
        match &self.shared {
            None => {
                self.refund_here(subject, refunds);
                None
            }
            Some(shared) => Some(shared.refund(subject, refunds)),
        }
    }

    /// Gives back what this process counted.
    pub(crate) fn refund_here(&self, subject: &[u8], refunds: &[Refund<'_>]) {
        self.local.refund(subject, refunds, self.now());
    }

    /// What is left; from this process's counters if the store does not answer.
    pub(crate) async fn peek(&self, subject: &[u8], rules: &[Rule<'_>]) -> Verdict {
        if let Some(shared) = &self.shared
            && let Ok(verdict) = shared.peek(subject, rules).await
        {
            return verdict;
        }
        self.local.peek(subject, rules, self.now())
    }

    /// Forgets what was used, and that it was refused.
    pub(crate) async fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) -> Result<(), Error> {
        self.local.reset(subject, rules);
        self.refusals.forget(subject, rules);
        match &self.shared {
            Some(shared) => shared.reset(subject, rules).await,
            None => Ok(()),
        }
    }

    /// Adds to a plain counter, whose time to live begins when it is made.
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

    /// Takes the names of a table's limits for what is counted of them.
    pub(crate) fn register(&self, limits: &[LimitPlan]) {
        let metrics = limits
            .iter()
            .map(|limit| LimitMetrics::register(&limit.name));
        self.metrics.store(Arc::new(metrics.collect()));
    }

    /// Counts what became of a request under the limit at this place of the table.
    pub(crate) fn count(&self, events: impl Iterator<Item = (usize, Event)>) {
        let metrics = self.metrics.load();
        for (limit, event) in events {
            if let Some(metrics) = metrics.get(limit) {
                metrics.count(event);
            }
        }
    }

    /// Says where requests come from whose server does not.
    pub(crate) fn set_peer(&self, peer: Box<Peer>) {
        self.peer.store(Some(Arc::new(peer)));
    }

    /// The address that the application knows.
    pub(crate) fn peer(&self, extensions: &Extensions) -> Option<IpAddr> {
        self.peer.load().as_ref().and_then(|peer| peer(extensions))
    }

    /// True the first time.
    pub(crate) fn warns_of(&self, warning: Warning) -> bool {
        !self.warned[warning as usize].swap(true, Ordering::Relaxed)
    }

    /// Microseconds of a clock that never steps back.
    fn now(&self) -> u64 {
        self.clock.mono() / 1000
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
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
    fn a_step_of_the_wall_clock_frees_nobody() {
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
        let admits = || limiter.acquire_one_here(b"u", &rule).outcome.admitted;
        assert!(admits());
        for wall in [Duration::ZERO, Duration::from_secs(1 << 32)] {
            clock.set_wall(clock.mono(), wall);
            assert!(!admits(), "{wall:?}");
        }
    }
}
