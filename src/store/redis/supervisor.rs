//! The task that supervises the connections: opens, checks and replaces them, and closes breakers.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{join, join_all};
use redis::{RedisResult, Value};
use tokio::{sync::Notify, time::timeout};

use super::{
    breaker::Breaker,
    connection::Connection,
    error::{is_outage, reason},
    server::with_timeout,
    state::ClientState,
};

/// Runs until the last clone of the client is dropped.
pub(super) async fn supervise(state: Weak<ClientState>, wake: Arc<Notify>) {
    let repairs = repair_when_due(Weak::clone(&state), wake);
    join(repairs, refresh_cluster(state)).await;
}

async fn repair_when_due(state: Weak<ClientState>, wake: Arc<Notify>) {
    let mut backoff = MIN_BACKOFF;
    while let Some(state) = state.upgrade() {
        let healthy = repair(&state).await;
        drop(state);
        if healthy {
            backoff = MIN_BACKOFF;
            // A call that breaks a connection or opens a breaker wakes the task.
            let _ = timeout(CHECK_INTERVAL, wake.notified()).await;
        } else {
            tokio::time::sleep(backoff.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            backoff = MAX_BACKOFF.min(backoff * 2);
        }
    }
}

/// Replaces the connections of a Cluster if a new one reaches slots that they do not.
///
/// The client of a Cluster does not learn by itself where the slots of a hanging primary have
/// moved. A new connection asks the first nodes; but while a primary hangs, a new connection may reach
/// fewer slots than an old one. So the connections are replaced only if the new one reaches more.
async fn refresh_cluster(state: Weak<ClientState>) {
    while let Some(state) = state.upgrade().filter(|state| state.address.is_cluster()) {
        if new_connection_reaches_more(&state).await {
            state.pool.mark_all_outdated();
        }
        drop(state);
        tokio::time::sleep(REFRESH_INTERVAL).await;
    }
}

/// Checks every connection, replaces those that fail, and probes for every open breaker. Returns
/// true if all connections and probes succeeded.
async fn repair(state: &ClientState) -> bool {
    let checks = (0..state.pool.len()).map(|index| check_or_replace(state, index));
    if join_all(checks).await.contains(&false) {
        state.open_breakers("no connection could be established");
        return false;
    }
    let probes = state.breakers.open().map(|breaker| probe(state, breaker));
    !join_all(probes).await.contains(&false)
}

async fn check_or_replace(state: &ClientState, index: usize) -> bool {
    let answered = match state.pool.connection(index) {
        Some(mut connection) => answers(connection.ping(), PING_TIMEOUT).await,
        None => false,
    };
    if !answered {
        return replace(state, index).await;
    }
    if state.pool.is_outdated(index) {
        replace(state, index).await;
    }
    true
}

async fn replace(state: &ClientState, index: usize) -> bool {
    let connected = state.address.connect().await.inspect_err(|error| {
        if !is_outage(error) {
            tracing::warn!(
                redis = %state.address,
                reason = %reason(error),
                "redis refuses the connection: check credentials and address; retrying"
            );
        }
    });
    let Ok(mut connection) = connected else {
        return false;
    };
    let answered = answers(connection.ping(), PING_TIMEOUT).await;
    if answered {
        state.pool.set(index, connection);
        state.metrics.reconnects.increment(1);
    }
    answered
}

/// True if a new connection reaches a slot that the pool does not.
async fn new_connection_reaches_more(state: &ClientState) -> bool {
    if state.breakers.open().next().is_none() {
        return false;
    }
    let Ok(connection) = state.address.connect().await else {
        return false;
    };
    let comparisons = state.breakers.open().map(|breaker| {
        let mut connection = connection.clone();
        async move {
            reaches(state, &mut connection, breaker).await && !probe(state, breaker).await
        }
    });
    join_all(comparisons).await.contains(&true)
}

/// The half-open state: sends one command in place of the requests, within their deadline.
async fn probe(state: &ClientState, breaker: &Breaker) -> bool {
    let index = state.pool.pick_connection();
    let Some(mut connection) = index.and_then(|index| state.pool.connection(index)) else {
        return false;
    };
    let answered = reaches(state, &mut connection, breaker).await;
    if answered {
        state.close_breaker(breaker);
    }
    answered
}

async fn reaches(state: &ClientState, connection: &mut Connection, breaker: &Breaker) -> bool {
    let ping = connection.ping_slot(breaker.failed_slot());
    answers(ping, state.deadline()).await
}

/// Whether the server answered. An error reply such as `MISCONF` or `NOPERM` is an answer, unless it
/// is an outage.
async fn answers(reply: impl Future<Output = RedisResult<Value>>, allowed: Duration) -> bool {
    let reply = with_timeout(allowed, reply).await;
    reply.err().is_none_or(|error| !is_outage(&error))
}

/// How often connections are checked while there is no outage.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The first and the longest pause between two repairs during an outage. After it, recovery takes at
/// most the longest pause, one attempt to connect and one probe.
const MIN_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_millis(400);
/// How long a connection has to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_millis(200);
/// How often a Cluster with an open breaker is tried over a new connection.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
