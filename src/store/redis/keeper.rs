//! The task that keeps the connections: makes them, tries them, replaces them, closes the breakers.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{RedisResult, Value};
use tokio::{sync::Notify, time::timeout};

use super::{address::timed_out, connection::Shared, fault};

/// How often connections are tried while all is well.
const HEALTHY: Duration = Duration::from_secs(1);
/// The first and the longest pause between two attempts while it is not. The longest, one attempt
/// to connect and one probe make up the time to recover.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));
/// What an existing connection must answer within when it is tried.
const PATIENCE: Duration = Duration::from_millis(200);
/// After so many rounds in vain a Cluster's connections are made anew, from the first nodes on;
/// until then they serve the slots whose primaries are up.
const ROUNDS: u32 = 4;

pub(super) async fn keep(shared: Weak<Shared>, wake: Arc<Notify>) {
    let mut pause = PAUSES.0;
    let mut rounds = 0;
    while let Some(shared) = shared.upgrade() {
        let healthy = shared.repair().await;
        rounds = if healthy { 0 } else { rounds + 1 };
        if rounds >= ROUNDS && shared.address.is_cluster() {
            shared.links.mark_all_outdated();
            rounds = 0;
        }
        drop(shared);
        if healthy {
            pause = PAUSES.0;
            // Woken by whoever finds a connection broken or opens the breaker.
            let _ = timeout(HEALTHY, wake.notified()).await;
        } else {
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = PAUSES.1.min(pause * 2);
        }
    }
}

impl Shared {
    /// Tries every connection, replaces those that fail, and probes for every open breaker.
    async fn repair(&self) -> bool {
        for index in 0..self.links.len() {
            if self.tried(index).await {
                if self.links.is_outdated(index) {
                    self.replaced(index).await;
                }
            } else if !self.replaced(index).await {
                self.open_all();
                return false;
            }
        }
        let open = (0..self.breakers.len()).filter(|index| self.breakers[*index].is_open());
        let probed = join_all(open.map(|index| self.probe(index))).await;
        probed.into_iter().all(|answered| answered)
    }

    async fn tried(&self, index: usize) -> bool {
        match self.links.wire(index) {
            Some(mut wire) => answers(wire.ping(), PATIENCE).await,
            None => false,
        }
    }

    async fn replaced(&self, index: usize) -> bool {
        let connected = self.address.connect().await;
        let mut wire = match connected {
            Ok(wire) => wire,
            Err(error) => {
                if !fault::is_outage(&error) {
                    let reason = fault::reason(&error);
                    tracing::warn!(redis = %self.address, %reason, "redis refuses the connection");
                }
                return false;
            }
        };
        let answers = answers(wire.ping(), PATIENCE).await;
        if answers {
            self.links.set(index, wire);
            self.metrics.reconnects.increment(1);
        }
        answers
    }

    /// The half-open state: one command in the requests' stead, within their own deadline.
    async fn probe(&self, index: usize) -> bool {
        let wire = self.links.pick().and_then(|index| self.links.wire(index));
        let Some(mut wire) = wire else {
            return false;
        };
        let slot = self.breakers[index].failed_slot();
        let answered = answers(wire.ping_slot(slot), self.deadline()).await;
        if answered {
            self.close(index);
        }
        answered
    }
}

/// Anything but an outage is an answer: `MISCONF` and `NOPERM` are given by a server that is up.
async fn answers(reply: impl Future<Output = RedisResult<Value>>, within: Duration) -> bool {
    let reply = timeout(within, reply)
        .await
        .unwrap_or_else(|_| Err(timed_out()));
    reply.err().is_none_or(|error| !fault::is_outage(&error))
}
