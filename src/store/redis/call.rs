//! Sends one command: passes the breaker, picks a connection, applies the deadline, updates the
//! metrics.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::{sync::oneshot::Receiver, time::timeout};

use super::{
    batch::InFlight,
    circuit::Circuit,
    command::Command,
    connection::Connection,
    error,
    flush::flush,
    script::ScriptCall,
    state::ClientState,
    timed_reply::{CallFailure, TimedReply, time_reply},
};
use crate::error::{Error, Kind};

/// A command that is about to be sent.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) state: &'a Arc<ClientState>,
    pub(super) command: Command,
    pub(super) circuit: Circuit<'a>,
}

/// How a read that may be batched was sent.
enum SentRead<'a> {
    Alone(BoxFuture<'a, Result<Value, Error>>, InFlight<'a>),
    Batched(Receiver<TimedReply<Value>>, InFlight<'a>, usize),
}

impl<'a> Call<'a> {
    /// Sends the command with `send` over one of the connections.
    pub(super) async fn send(
        self,
        send: impl AsyncFnOnce(&mut Connection) -> RedisResult<Value>,
    ) -> Result<Value, Error> {
        let index = self.pick_connection()?;
        self.send_over(index, send).await
    }

    /// Sends `cmd` in a batch with the reads that are requested at the same time. It is queued when
    /// this returns, so that the future is small.
    pub(super) fn send_batched(
        self,
        cmd: Cmd,
    ) -> impl Future<Output = Result<Value, Error>> + Send + 'a {
        let sent = self.pick_connection().map(|index| {
            let in_flight = self.state.pool.queue(index).enter();
            // The commands of a Cluster go to different nodes.
            if in_flight.are_few() || self.state.address.is_cluster() {
                let alone = async move |connection: &mut Connection| connection.send(&cmd).await;
                return SentRead::Alone(Box::pin(self.send_over(index, alone)), in_flight);
            }
            SentRead::Batched(self.push(index, cmd), in_flight, index)
        });
        async move {
            match sent? {
                SentRead::Alone(reply, _in_flight) => reply.await,
                SentRead::Batched(reply, _in_flight, index) => {
                    // The task that flushes the batch may not get to run in time.
                    let allowed = self.command.timeout(self.state.deadline());
                    let reply = match timeout(allowed, reply).await {
                        Ok(reply) => reply.unwrap_or(Err(CallFailure::NotSent)),
                        Err(_) => Err(CallFailure::TimedOut),
                    };
                    self.finish(index, reply)
                }
            }
        }
    }

    /// Runs a script by its digest, or by its source if the server does not know it.
    pub(super) async fn send_script(self, call: &ScriptCall) -> Result<Value, Error> {
        self.send(
            async |connection| match connection.send(&call.by_digest).await {
                Err(error) if is_unknown_script(&error) => connection.send(&call.by_source()).await,
                reply => reply,
            },
        )
        .await
    }

    fn push(self, index: usize, cmd: Cmd) -> Receiver<TimedReply<Value>> {
        let (reply, due) = self.state.pool.queue(index).push(cmd);
        if let Some(due) = due {
            let state = Arc::clone(self.state);
            tokio::spawn(flush(state, index, self.command, due));
        }
        reply
    }

    fn pick_connection(self) -> Result<usize, Error> {
        if self.circuit.breaker.is_open() {
            self.state.metrics.skipped.increment(1);
            return Err(Error::unavailable(BREAKER_OPEN));
        }
        let index = self.state.pool.pick_connection();
        index.ok_or_else(|| self.no_connection())
    }

    async fn send_over(
        self,
        index: usize,
        send: impl AsyncFnOnce(&mut Connection) -> RedisResult<Value>,
    ) -> Result<Value, Error> {
        let Some(mut connection) = self.state.pool.connection(index) else {
            return Err(self.no_connection());
        };
        let allowed = self.command.timeout(self.state.deadline());
        let reply = time_reply(allowed, send(&mut connection)).await;
        self.finish(index, reply)
    }

    /// Updates breaker and metrics.
    fn finish(self, index: usize, reply: TimedReply<Value>) -> Result<Value, Error> {
        match reply {
            Ok((value, after)) => {
                self.circuit.breaker.success();
                self.state.metrics.record_reply(self.command, after);
                Ok(value)
            }
            Err(CallFailure::Failed(error)) => Err(self.record_failure(index, error)),
            // Nothing was sent, so the breaker learns nothing about Redis.
            Err(CallFailure::NotSent) => {
                self.count_error(Kind::Unavailable);
                Err(Error::unavailable(NOT_SENT))
            }
            Err(CallFailure::TimedOut) => {
                let allowed = self.command.timeout(self.state.deadline());
                let error = error::command_timed_out(self.command, allowed);
                self.state.record_failure(self.circuit, &error);
                self.state.metrics.record_timeout(self.command);
                Err(error)
            }
        }
    }

    fn record_failure(self, index: usize, cause: RedisError) -> Error {
        self.check_connection(index, &cause);
        let error = error::command_failed(self.command, cause);
        self.count_error(error.kind());
        match error.kind() {
            Kind::Unavailable => self.state.record_failure(self.circuit, &error),
            _ => self.circuit.breaker.success(),
        }
        tracing::debug!(redis = %self.state.address, %error, "redis command failed");
        error
    }

    /// Marks the connection for replacement if the error shows that it cannot be used any more.
    fn check_connection(self, index: usize, error: &RedisError) {
        if error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) {
            // The primary was demoted: its address may now belong to its successor.
            self.state.pool.mark_outdated(index);
        } else if error.is_unrecoverable_error() {
            // A Cluster connection recovers by itself, and still serves the other primaries.
            if !self.state.address.is_cluster() {
                self.state.pool.mark_broken(index);
            }
            self.state.wake.notify_one();
        }
    }

    fn no_connection(self) -> Error {
        self.state.record_failure(self.circuit, NO_CONNECTION);
        self.count_error(Kind::Unavailable);
        Error::unavailable(NO_CONNECTION)
    }

    fn count_error(self, kind: Kind) {
        self.state.metrics.record_error(self.command, kind);
    }
}

pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

pub(super) const BREAKER_OPEN: &str =
    "redis unavailable: no command is sent until it answers a probe";
const NO_CONNECTION: &str = "redis unavailable: no connection could be established";
const NOT_SENT: &str = "redis unavailable: the command could not be sent";
