//! State that all clones of a client share.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::RedisError;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::{
    address::Address,
    breaker::Breaker,
    circuit::{Breakers, Circuit},
    config::Config,
    error,
    metrics::StoreMetrics,
    pool::ConnectionPool,
};
use crate::error::Error;

/// The address of a Redis, the connections to it, and whether it answers.
pub(super) struct ClientState {
    pub(super) address: Address,
    pub(super) pool: ConnectionPool,
    pub(super) breakers: Breakers,
    pub(super) metrics: StoreMetrics,
    /// Nanoseconds.
    deadline: AtomicU64,
    /// Wakes the supervisor.
    pub(super) wake: Arc<Notify>,
    /// The supervisor, which ends when this is dropped.
    pub(super) supervisor: OnceLock<AbortOnDropHandle<()>>,
}

impl ClientState {
    pub(super) fn new(url: &str, config: &Config) -> Result<Self, Error> {
        let address = Address::parse(url, config)?;
        let state = Self {
            pool: ConnectionPool::new(config.connections.max(1)),
            breakers: Breakers::new(address.is_cluster()),
            metrics: StoreMetrics::register(),
            deadline: AtomicU64::new(0),
            wake: Arc::new(Notify::new()),
            supervisor: OnceLock::new(),
            address,
        };
        state.set_deadline(config.deadline);
        Ok(state)
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    pub(super) fn set_deadline(&self, deadline: Duration) {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        self.deadline.store(nanos, Ordering::Relaxed);
    }

    /// Counts a command that was not answered.
    pub(super) fn record_failure(&self, circuit: Circuit<'_>, cause: impl fmt::Display) {
        if circuit.breaker.failure(circuit.slot) {
            self.report_open_breakers(1, cause);
        }
    }

    /// Opens every breaker: without a connection no command can be sent.
    pub(super) fn open_breakers(&self, cause: impl fmt::Display) {
        let opened = self.breakers.all().iter().filter(|breaker| breaker.open());
        match opened.count() {
            0 => {}
            opened => self.report_open_breakers(opened, cause),
        }
    }

    pub(super) fn close_breaker(&self, breaker: &Breaker) {
        if breaker.close() {
            self.metrics.breaker_open.decrement(1.0);
            tracing::info!(redis = %self.address, "redis available again: using the shared store");
        }
    }

    pub(super) fn connect_failed(&self, cause: RedisError) -> Error {
        error::connect_failed(&self.address.to_string(), cause)
    }

    fn report_open_breakers(&self, count: usize, cause: impl fmt::Display) {
        (0..count).for_each(|_| self.metrics.breaker_open.increment(1.0));
        tracing::warn!(
            redis = %self.address,
            %cause,
            "redis unavailable: going on without the shared store until it answers"
        );
        self.wake.notify_one();
    }
}
