//! The client of one Redis.

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    Cmd, FromRedisValue, Value,
    aio::{MultiplexedConnection, PubSub},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    breaker::Breaker,
    call::Call,
    circuit::Circuit,
    command::Command,
    config::Config,
    connect::connect_first,
    connection::Connection,
    error,
    script::ScriptCall,
    server::{self, CONNECT_TIMEOUT, with_timeout},
    state::ClientState,
    supervisor::supervise,
    topology::{self, Primary},
};
use crate::{
    error::{Error, Kind},
    store::wire::Unreadable,
};

/// A few multiplexed connections to one Redis, single or Cluster.
///
/// A clone shares the connections. They are replaced in the background until the last clone is
/// dropped.
#[derive(Clone)]
pub(crate) struct RedisClient(Arc<ClientState>);

impl RedisClient {
    /// Connects. If Redis cannot be reached, a task on the current runtime connects later, in the
    /// background: an outage is no error.
    ///
    /// # Errors
    ///
    /// If the URL is invalid, the credentials are refused, the certificate is untrusted, or the ACL
    /// forbids a command (named in the error).
    pub(crate) async fn connect(url: &str, config: Config) -> Result<Self, Error> {
        let state = Arc::new(ClientState::new(url, &config)?);
        connect_first(&state).await?;
        let supervisor = supervise(Arc::downgrade(&state), Arc::clone(&state.wake));
        let supervisor = AbortOnDropHandle::new(tokio::spawn(supervisor));
        let _ = state.supervisor.set(supervisor);
        Ok(Self(state))
    }

    /// Sends a command; in a Cluster, to the primary that owns its key.
    ///
    /// # Errors
    ///
    /// Unavailable: no reply within the command's timeout, no connection, or the breaker is open.
    /// Refused: an error reply. Corrupt: the reply is not a `T`.
    ///
    /// # Cancel safety
    ///
    /// Redis may or may not have run the command.
    pub(crate) async fn query<T: FromRedisValue>(
        &self,
        command: Command,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let call = self.call(command, self.0.breakers.circuit_of(cmd, 1));
        let reply = call.send(async |connection| connection.send(cmd).await);
        parse(command, reply.await?)
    }

    /// Sends a read in a batch with the reads that are requested at the same time.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(super) fn query_batched<T: FromRedisValue>(
        &self,
        command: Command,
        cmd: Cmd,
    ) -> impl Future<Output = Result<T, Error>> + Send {
        let call = self.call(command, self.0.breakers.circuit_of(&cmd, 1));
        let reply = call.send_batched(cmd);
        async move { parse(command, reply.await?) }
    }

    /// Runs a script on the primary that owns its first key. A server that does not know the script
    /// is sent its source.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        command: Command,
        call: &ScriptCall,
    ) -> Result<T, Error> {
        let breakers = &self.0.breakers;
        let circuit = breakers.circuit_of(&call.by_digest, call.first_key);
        let reply = self.call(command, circuit).send_script(call);
        parse(command, reply.await?)
    }

    /// Every primary, for commands without a key such as `SCAN`.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, Error> {
        if !self.0.address.is_cluster() {
            return Ok(vec![Primary::only()]);
        }
        let mut slots = redis::cmd("CLUSTER");
        slots.arg("SLOTS");
        // Any node can answer, so the breakers of the primaries do not apply.
        let (breaker, slot) = (&Breaker::default(), 0);
        let call = self.call(Command::Sync, Circuit { breaker, slot });
        let reply = call.send(async |connection| connection.send(&slots).await);
        Ok(topology::parse_slots(&reply.await?))
    }

    /// Sends a command to one primary.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn query_at<T: FromRedisValue>(
        &self,
        primary: &Primary,
        command: Command,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let circuit = self.0.breakers.circuit_of_slot(primary.slot());
        let send =
            async |connection: &mut Connection| connection.send_to(primary.node(), cmd).await;
        parse(command, self.call(command, circuit).send(send).await?)
    }

    /// Opens a connection to the server that owns `key`, for commands that block.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn dedicated(&self, key: &[u8]) -> Result<DedicatedConnection, Error> {
        let client = self.server_for(key).await?;
        let connection = server::connect(&client).await;
        connection
            .map(DedicatedConnection)
            .map_err(|error| self.0.connect_failed(error))
    }

    /// Opens a connection for pub/sub; messages reach every node of a Cluster.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn pubsub(&self) -> Result<PubSub, Error> {
        let client = self.server_for(b"").await?;
        let connected = with_timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await;
        connected.map_err(|error| self.0.connect_failed(error))
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.0.address.is_cluster()
    }

    /// True while no breaker is open.
    pub(crate) fn healthy(&self) -> bool {
        self.0.breakers.open().next().is_none()
    }

    /// Refuses an optional command if the last command for `key`, or for one that shares its
    /// breaker, was not answered: a request that has just timed out must not wait again.
    ///
    /// # Errors
    ///
    /// Unavailable: skip the command.
    pub(crate) fn skip_if_in_doubt(&self, key: &[u8]) -> Result<(), Error> {
        let circuit = self.0.breakers.circuit_of_key(key);
        if !circuit.breaker.is_in_doubt() {
            return Ok(());
        }
        self.0.metrics.skipped.increment(1);
        Err(Error::unavailable(
            "redis unavailable: it did not answer the previous command",
        ))
    }

    /// Sets how long a request waits for one command.
    pub(crate) fn set_deadline(&self, deadline: Duration) {
        self.0.set_deadline(deadline);
    }

    /// Counts a stored value that could not be read.
    pub(crate) fn count_unreadable(&self, reason: Unreadable) {
        self.0.metrics.record_unreadable(reason);
    }

    /// Counts a lock that another program had made.
    pub(crate) fn count_foreign_lock(&self) {
        self.0.metrics.foreign_locks.increment(1);
    }

    fn call<'a>(&'a self, command: Command, circuit: Circuit<'a>) -> Call<'a> {
        Call {
            state: &self.0,
            command,
            circuit,
        }
    }

    async fn server_for(&self, key: &[u8]) -> Result<redis::Client, Error> {
        let owner = topology::owner(self.primaries().await?, key);
        let node = owner.as_ref().and_then(Primary::node);
        let client = self.0.address.server(node).await;
        client.map_err(|error| self.0.connect_failed(error))
    }
}

impl fmt::Debug for RedisClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisClient")
            .field("address", &self.0.address)
            .field("healthy", &self.healthy())
            .finish_non_exhaustive()
    }
}

/// A connection with one user and without deadline.
pub(crate) struct DedicatedConnection(MultiplexedConnection);

impl DedicatedConnection {
    /// Sends a command and waits for the reply for as long as the connection lives.
    ///
    /// # Errors
    ///
    /// As [`RedisClient::query`].
    pub(crate) async fn query<T: FromRedisValue>(
        &mut self,
        command: Command,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let reply = server::send(&mut self.0, cmd).await;
        let reply = reply.map_err(|cause| error::command_failed(command, cause))?;
        parse(command, reply)
    }
}

impl fmt::Debug for DedicatedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedicatedConnection")
            .finish_non_exhaustive()
    }
}

fn parse<T: FromRedisValue>(command: Command, reply: Value) -> Result<T, Error> {
    redis::from_redis_value(reply).map_err(|cause| {
        let command = command.as_str();
        let message = format!("redis answered {command} with an unexpected reply: {cause}");
        Error::new(Kind::Corrupt, message).with_hidden_cause(cause)
    })
}
