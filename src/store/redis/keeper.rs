//! The task that keeps the connections: makes them, tries them, replaces them, closes the breakers.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{join, join_all};
use redis::{RedisResult, Value};
use tokio::{sync::Notify, time::timeout};

use super::{address::timed_out, connection::Shared, fault, link::Wire};

/// How often connections are tried while all is well.
const HEALTHY: Duration = Duration::from_secs(1);
/// The first and the longest pause between two attempts while it is not. The longest, one attempt
/// to connect and one probe make up the time to recover.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));
/// What an existing connection must answer within when it is tried.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a Cluster that is not healthy is left to its client before somebody scouts.
const SCOUTING: Duration = Duration::from_secs(1);

pub(super) async fn keep(shared: Weak<Shared>, wake: Arc<Notify>) {
    join(repair(Weak::clone(&shared), wake), scout(shared)).await;
}

async fn repair(shared: Weak<Shared>, wake: Arc<Notify>) {
    let mut pause = PAUSES.0;
    while let Some(shared) = shared.upgrade() {
        let healthy = shared.repair().await;
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

/// The client of a Cluster does not learn by itself where the slots of a primary that hangs have
/// gone. A connection made anew, from the first nodes on, does; but while a primary hangs it serves
/// the others' slots worse than one made before. So it has to prove that it is needed.
async fn scout(shared: Weak<Shared>) {
    while let Some(shared) = shared
        .upgrade()
        .filter(|shared| shared.address.is_cluster())
    {
        if shared.are_outrun().await {
            shared.links.mark_all_outdated();
        }
        drop(shared);
        tokio::time::sleep(SCOUTING).await;
    }
}

impl Shared {
    /// Tries every connection, replaces those that fail, and probes for every open breaker.
    async fn repair(&self) -> bool {
        let kept = join_all((0..self.links.len()).map(|index| self.kept(index))).await;
        if kept.contains(&false) {
            self.open_all();
            return false;
        }
        let probed = join_all(self.open_breakers().map(|index| self.probe(index))).await;
        !probed.contains(&false)
    }

    async fn kept(&self, index: usize) -> bool {
        if !self.tried(index).await {
            return self.replaced(index).await;
        }
        if self.links.is_outdated(index) {
            self.replaced(index).await;
        }
        true
    }

    /// Whether a connection made anew reaches a slot that these do not.
    async fn are_outrun(&self) -> bool {
        if self.open_breakers().next().is_none() {
            return false;
        }
        let Ok(wire) = self.address.connect().await else {
            return false;
        };
        let outrun = self.open_breakers().map(|index| {
            let mut wire = wire.clone();
            async move { self.reaches(&mut wire, index).await && !self.probe(index).await }
        });
        join_all(outrun).await.contains(&true)
    }

    fn open_breakers(&self) -> impl Iterator<Item = usize> {
        (0..self.breakers.len()).filter(|index| self.breakers[*index].is_open())
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
        let answered = self.reaches(&mut wire, index).await;
        if answered {
            self.close(index);
        }
        answered
    }

    async fn reaches(&self, wire: &mut Wire, index: usize) -> bool {
        let slot = self.breakers[index].failed_slot();
        answers(wire.ping_slot(slot), self.deadline()).await
    }
}

/// Anything but an outage is an answer: `MISCONF` and `NOPERM` are given by a server that is up.
async fn answers(reply: impl Future<Output = RedisResult<Value>>, within: Duration) -> bool {
    let reply = timeout(within, reply)
        .await
        .unwrap_or_else(|_| Err(timed_out()));
    reply.err().is_none_or(|error| !fault::is_outage(&error))
}
