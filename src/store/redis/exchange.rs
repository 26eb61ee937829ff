//! The way of a command: breaker, connection, deadline, account.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::{
    sync::oneshot::Receiver,
    time::{Instant, timeout, timeout_at},
};

use super::{
    connection::{Gate, Shared},
    fault,
    gather::{self, Company},
    link::Wire,
    script::Script,
    verb::Verb,
};
use crate::error::{Error, Kind};

/// A reply, and how long it took.
pub(super) type Outcome<T> = Result<(T, Duration), Missed>;

/// Why there is no reply.
#[derive(Clone, Debug)]
pub(super) enum Missed {
    Late,
    /// Nobody was there to send the command, or no connection any more.
    Unsent,
    Failed(RedisError),
}

/// Waits for a reply for as long as it may take.
pub(super) async fn in_time<T>(
    allowed: Duration,
    reply: impl Future<Output = RedisResult<T>>,
) -> Outcome<T> {
    // One reading of the clock serves deadline and account.
    let sent = Instant::now();
    // pinned here: moved once less
    match timeout_at(sent + allowed, pin!(reply)).await {
        Ok(Ok(value)) => Ok((value, sent.elapsed())),
        Ok(Err(error)) => Err(Missed::Failed(error)),
        Err(_) => Err(Missed::Late),
    }
}

/// How a command that need not go alone was sent.
enum Sent<'a> {
    Alone(BoxFuture<'a, Result<Value, Error>>, Company<'a>),
    Together(Receiver<Outcome<Value>>, Company<'a>, usize),
}

impl Shared {
    /// Sends a command alone.
    pub(super) async fn ask(
        &self,
        verb: Verb,
        gate: Gate<'_>,
        send: impl AsyncFnOnce(&mut Wire) -> RedisResult<Value>,
    ) -> Result<Value, Error> {
        let index = self.way(verb, gate)?;
        self.ask_over(index, verb, gate, send).await
    }

    /// Sends a command with what else is asked for at the same time. It is on its way when this
    /// returns, so that the future is small.
    pub(super) fn ask_with_others<'a>(
        self: &'a Arc<Self>,
        verb: Verb,
        gate: Gate<'a>,
        cmd: Cmd,
    ) -> impl Future<Output = Result<Value, Error>> + Send + 'a {
        let sent = self.way(verb, gate).map(|index| {
            let company = self.links.gathering(index).enter();
            // The commands of a Cluster go different ways.
            if company.is_small() || self.address.is_cluster() {
                let alone = async move |wire: &mut Wire| wire.send(&cmd).await;
                return Sent::Alone(Box::pin(self.ask_over(index, verb, gate, alone)), company);
            }
            Sent::Together(self.join(index, verb, cmd), company, index)
        });
        async move {
            match sent? {
                Sent::Alone(reply, _company) => reply.await,
                Sent::Together(reply, _company, index) => {
                    // Whoever sees to the departure may itself be kept from it.
                    let outcome = match timeout(verb.allowance(self.deadline()), reply).await {
                        Ok(reply) => reply.unwrap_or(Err(Missed::Unsent)),
                        Err(_) => Err(Missed::Late),
                    };
                    self.account(verb, gate, index, outcome)
                }
            }
        }
    }

    fn join(self: &Arc<Self>, index: usize, verb: Verb, cmd: Cmd) -> Receiver<Outcome<Value>> {
        let (reply, departure) = self.links.gathering(index).join(cmd);
        if let Some(departure) = departure {
            tokio::spawn(gather::depart(Arc::clone(self), index, verb, departure));
        }
        reply
    }

    /// A call of a script, by its source if the server has forgotten it.
    pub(super) async fn run(
        &self,
        verb: Verb,
        gate: Gate<'_>,
        script: &Script,
        known: &Cmd,
    ) -> Result<Value, Error> {
        let send = async |wire: &mut Wire| match wire.send(known).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                wire.send(&script.by_source(known)).await
            }
            reply => reply,
        };
        self.ask(verb, gate, send).await
    }

    /// The number of a connection to go over.
    fn way(&self, verb: Verb, gate: Gate<'_>) -> Result<usize, Error> {
        if gate.breaker.is_open() {
            self.metrics.skipped.increment(1);
            return Err(away());
        }
        self.links.pick().ok_or_else(|| self.unsent(verb, gate))
    }

    async fn ask_over(
        &self,
        index: usize,
        verb: Verb,
        gate: Gate<'_>,
        send: impl AsyncFnOnce(&mut Wire) -> RedisResult<Value>,
    ) -> Result<Value, Error> {
        let Some(mut wire) = self.links.wire(index) else {
            return Err(self.unsent(verb, gate));
        };
        let outcome = in_time(verb.allowance(self.deadline()), send(&mut wire)).await;
        self.account(verb, gate, index, outcome)
    }

    fn account(
        &self,
        verb: Verb,
        gate: Gate<'_>,
        index: usize,
        outcome: Outcome<Value>,
    ) -> Result<Value, Error> {
        match outcome {
            Ok((value, after)) => {
                gate.breaker.success();
                self.metrics.answered(verb, after);
                Ok(value)
            }
            Err(Missed::Failed(error)) => Err(self.refused(verb, gate, index, error)),
            // Says nothing about Redis.
            Err(Missed::Unsent) => {
                self.metrics.failed(verb, Kind::Unavailable);
                Err(away())
            }
            Err(Missed::Late) => {
                self.failed(gate);
                self.metrics.timed_out(verb);
                Err(late(verb, verb.allowance(self.deadline())))
            }
        }
    }

    fn refused(&self, verb: Verb, gate: Gate<'_>, index: usize, error: RedisError) -> Error {
        let kind = fault::kind(&error);
        self.metrics.failed(verb, kind);
        // A primary that has become a replica: the address may lead to its successor by now.
        if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            self.links.mark_outdated(index);
        } else if error.is_unrecoverable_error() {
            // A Cluster's mends itself, and still leads to the other primaries.
            if !self.address.is_cluster() {
                self.links.mark_broken(index);
            }
            self.wake.notify_one();
        }
        match kind {
            Kind::Unavailable => self.failed(gate),
            _ => gate.breaker.success(),
        }
        let error = fault::error(verb, error);
        tracing::debug!(%error, redis = %self.address, "redis");
        error
    }

    fn unsent(&self, verb: Verb, gate: Gate<'_>) -> Error {
        self.failed(gate);
        self.metrics.failed(verb, Kind::Unavailable);
        away()
    }

    fn failed(&self, gate: Gate<'_>) {
        if gate.breaker.failure(gate.slot) {
            self.opened();
        }
    }
}

pub(super) fn away() -> Error {
    Error::unavailable("redis is away")
}

fn late(verb: Verb, allowed: Duration) -> Error {
    let verb = verb.as_str();
    Error::unavailable(format!("redis did not answer {verb} within {allowed:?}"))
}
