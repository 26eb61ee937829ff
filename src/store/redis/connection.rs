//! The connections of one process to Redis.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, Value,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{sync::Notify, task::AbortHandle, time::timeout};

use super::{
    address::{self, Address},
    breaker::Breaker,
    exchange::away,
    fault, keeper,
    link::{self, CONNECT_TIMEOUT, Links},
    metrics::StoreMetrics,
    permissions,
    script::{Arg, Script},
    topology::{self, Primary, SLOTS},
    verb::Verb,
};
use crate::{
    error::{Error, Kind},
    store::wire::Unreadable,
};

/// How Redis is connected to.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Connections of this process (for a Cluster: to each of its nodes).
    pub(crate) connections: usize,
    /// How long a request waits for one command; see [`Verb`] for those that may take longer.
    pub(crate) deadline: Duration,
    /// The certificate authority of `rediss://` as PEM, in place of the public ones.
    pub(crate) root_certificate: Option<Vec<u8>>,
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            connections: threads.clamp(2, 4),
            deadline: Duration::from_millis(50),
            root_certificate: None,
        }
    }
}

/// A few multiplexed connections to one Redis, single or Cluster, shared by everything in a process.
///
/// A clone is the same connections. They are remade in the background for as long as one is left.
#[derive(Clone)]
pub(crate) struct Connections(Arc<Shared>);

pub(super) struct Shared {
    pub(super) address: Address,
    pub(super) links: Links,
    /// One for a single server, one for every range of slots of a Cluster: a primary that is away
    /// takes only its own slots along, and those of a range that it shares with another.
    pub(super) breakers: Box<[Breaker]>,
    pub(super) metrics: StoreMetrics,
    deadline: AtomicU64,
    pub(super) wake: Arc<Notify>,
    keeper: OnceLock<AbortHandle>,
}

const CLUSTER_BREAKERS: u16 = 64;

/// The breaker that a command stands before, and the slot of its key.
#[derive(Clone, Copy)]
pub(super) struct Gate<'a> {
    pub(super) breaker: &'a Breaker,
    pub(super) slot: u16,
}

impl Connections {
    /// Connects. A Redis that cannot be reached is an outage, not an error: the connections are made
    /// later, in the background, by a task on the current runtime.
    ///
    /// # Errors
    ///
    /// A bad URL, refused credentials, a certificate that cannot be trusted, a command that the
    /// user's ACL forbids (named in the error).
    pub(crate) async fn connect(url: &str, config: Config) -> Result<Self, Error> {
        let address = Address::parse(url, &config)?;
        let breakers = if address.is_cluster() {
            CLUSTER_BREAKERS
        } else {
            1
        };
        let shared = Arc::new(Shared {
            address,
            links: Links::new(config.connections.max(1)),
            breakers: (0..breakers)
                .map(|index| Breaker::before(index * (SLOTS / breakers)))
                .collect(),
            metrics: StoreMetrics::register(),
            deadline: AtomicU64::new(0),
            wake: Arc::new(Notify::new()),
            keeper: OnceLock::new(),
        });
        shared.set_deadline(config.deadline);
        shared.first_contact().await?;
        let keeper = keeper::keep(Arc::downgrade(&shared), Arc::clone(&shared.wake));
        let _ = shared.keeper.set(tokio::spawn(keeper).abort_handle());
        Ok(Self(shared))
    }

    /// Sends a command, in a Cluster to the primary that owns its key.
    ///
    /// # Errors
    ///
    /// Unavailable: no answer within the verb's deadline, no connection, or the breaker is open.
    /// Refused: Redis says no. Corrupt: the reply is not a `T`.
    ///
    /// # Cancel safety
    ///
    /// Redis may or may not have run the command.
    pub(crate) async fn query<T: FromRedisValue>(&self, verb: Verb, cmd: &Cmd) -> Result<T, Error> {
        let gate = self.0.gate_of(cmd, 1);
        let reply = self.0.ask(verb, gate, async |wire| wire.send(cmd).await);
        read(verb, reply.await?)
    }

    /// Sends a command that only reads, together with others that are asked for at the same time.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(super) fn look_up<T: FromRedisValue>(
        &self,
        verb: Verb,
        cmd: Cmd,
    ) -> impl Future<Output = Result<T, Error>> + Send {
        let gate = self.0.gate_of(&cmd, 1);
        let reply = self.0.ask_with_others(verb, gate, cmd);
        async move { read(verb, reply.await?) }
    }

    /// Runs a script where its first key lies; in a Cluster all keys must lie in one slot.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query). A server that has forgotten the script is given it again.
    pub(crate) async fn script<T: FromRedisValue>(
        &self,
        verb: Verb,
        script: &Script,
        keys: &[&[u8]],
        arguments: &[Arg<'_>],
    ) -> Result<T, Error> {
        let gate = self.0.gate_of_key(keys.first().copied());
        let known = script.by_digest(keys, arguments);
        read(verb, self.0.run(verb, gate, script, &known).await?)
    }

    /// As [`script`](Self::script), for a call by digest that has a key.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(super) fn run<'a>(
        &'a self,
        verb: Verb,
        script: &'a Script,
        known: &'a Cmd,
    ) -> impl Future<Output = Result<Value, Error>> + Send + 'a {
        // behind EVALSHA, the digest and the number of keys
        let gate = self.0.gate_of(known, 3);
        self.0.run(verb, gate, script, known)
    }

    /// Every primary; for what has no key, such as `SCAN`.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn primaries(&self) -> Result<Vec<Primary>, Error> {
        topology::primaries(self).await
    }

    /// Sends a command to one primary.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn query_at<T: FromRedisValue>(
        &self,
        primary: &Primary,
        verb: Verb,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let (node, gate) = (primary.node(), self.0.gate_of_slot(primary.slot()));
        let reply = self
            .0
            .ask(verb, gate, async |wire| wire.send_to(node, cmd).await);
        read(verb, reply.await?)
    }

    /// Sends a command that any server answers, so that it stands before no breaker.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(super) async fn query_any<T: FromRedisValue>(
        &self,
        verb: Verb,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let (breaker, slot) = (&Breaker::default(), 0);
        let gate = Gate { breaker, slot };
        let reply = self.0.ask(verb, gate, async |wire| wire.send(cmd).await);
        read(verb, reply.await?)
    }

    /// A connection of its own to the server that owns a key, for commands that block.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn dedicated(&self, for_key: &[u8]) -> Result<Dedicated, Error> {
        let client = self.server_for(for_key).await?;
        let connection = address::multiplexed(&client).await;
        connection
            .map(Dedicated)
            .map_err(|error| self.0.connecting(error))
    }

    /// A connection of its own for pub/sub; messages reach every node of a Cluster.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub(crate) async fn pubsub(&self) -> Result<PubSub, Error> {
        let client = self.server_for(b"").await?;
        let connected = timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await;
        connected
            .unwrap_or_else(|_| Err(address::timed_out()))
            .map_err(|error| self.0.connecting(error))
    }

    /// True while no breaker is open.
    pub(crate) fn healthy(&self) -> bool {
        !self.0.breakers.iter().any(Breaker::is_open)
    }

    /// For what can be done without: whoever has just waited in vain for one command does not wait
    /// for another, too.
    ///
    /// # Errors
    ///
    /// Unavailable: what was last asked about this key, or one near it, was not answered.
    pub(crate) fn unless_in_doubt(&self, key: &[u8]) -> Result<(), Error> {
        if self.0.gate_of_key(Some(key)).breaker.is_in_doubt() {
            self.0.metrics.skipped.increment(1);
            return Err(away());
        }
        Ok(())
    }

    /// How long a request waits for one command, from now on.
    pub(crate) fn set_deadline(&self, deadline: Duration) {
        self.0.set_deadline(deadline);
    }

    /// Counts a stored value that could not be read.
    pub(crate) fn count_unreadable(&self, why: Unreadable) {
        self.0.metrics.unreadable(why);
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.0.address.is_cluster()
    }

    async fn server_for(&self, key: &[u8]) -> Result<redis::Client, Error> {
        let owner = topology::owner(self.primaries().await?, key);
        let node = owner.as_ref().and_then(Primary::node);
        let client = self.0.address.server(node).await;
        client.map_err(|error| self.0.connecting(error))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("address", &self.0.address)
            .field("healthy", &self.healthy())
            .finish_non_exhaustive()
    }
}

/// A connection that only its owner uses, without deadline.
pub(crate) struct Dedicated(MultiplexedConnection);

impl Dedicated {
    /// # Errors
    ///
    /// As [`Connections::query`], except that it waits for as long as the connection lives.
    pub(crate) async fn query<T: FromRedisValue>(
        &mut self,
        verb: Verb,
        cmd: &Cmd,
    ) -> Result<T, Error> {
        let reply = link::ask(&mut self.0, cmd).await;
        read(verb, reply.map_err(|error| fault::error(verb, error))?)
    }
}

impl fmt::Debug for Dedicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedicated").finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn opened(&self) {
        self.metrics.breaker_open.increment(1.0);
        tracing::warn!(redis = %self.address, "redis does not answer: going on without it");
        self.wake.notify_one();
    }

    /// Without any connection there is nothing to wait for.
    pub(super) fn open_all(&self) {
        for breaker in &self.breakers {
            if breaker.open() {
                self.opened();
            }
        }
    }

    pub(super) fn close(&self, index: usize) {
        if self.breakers[index].close() {
            self.metrics.breaker_open.decrement(1.0);
            tracing::info!(redis = %self.address, "redis answers again");
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    fn set_deadline(&self, deadline: Duration) {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        self.deadline.store(nanos, Ordering::Relaxed);
    }

    /// Tells an outage, which is waited out, from a refusal, which somebody has to mend.
    async fn first_contact(&self) -> Result<(), Error> {
        let contact = async {
            let wire = self.address.connect().await?;
            let server = self.address.server(None).await?;
            let mut connection = address::multiplexed(&server).await?;
            Ok::<_, redis::RedisError>((wire, self.look(&mut connection).await?, connection))
        };
        match contact.await {
            Ok((wire, mode, mut connection)) => {
                self.check_mode(mode)?;
                permissions::check(&mut connection).await?;
                self.links.set(0, wire);
                Ok(())
            }
            Err(error) if fault::is_outage(&error) => {
                tracing::warn!(redis = %self.address, %error, "redis cannot be reached yet");
                self.open_all();
                Ok(())
            }
            Err(error) => Err(self.connecting(error)),
        }
    }

    /// What `INFO cluster` says, if the user may ask.
    async fn look(&self, connection: &mut MultiplexedConnection) -> RedisResult<String> {
        let mut info = Cmd::new();
        info.arg("INFO").arg("cluster");
        let reply = timeout(CONNECT_TIMEOUT, link::ask(connection, &info)).await;
        match reply.unwrap_or_else(|_| Err(address::timed_out())) {
            Ok(text) => Ok(redis::from_redis_value(text).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                Ok(String::new())
            }
            Err(error) => Err(error),
        }
    }

    fn check_mode(&self, info: String) -> Result<(), Error> {
        if info.contains("cluster_enabled:1") && !self.address.is_cluster() {
            let address = &self.address;
            return Err(Error::config(format!(
                "redis at {address} is a node of a cluster: write redis+cluster://"
            )));
        }
        Ok(())
    }

    fn connecting(&self, error: redis::RedisError) -> Error {
        fault::connecting(&self.address.to_string(), error)
    }

    /// The gate of a command whose key is its word `at`.
    fn gate_of(&self, cmd: &Cmd, at: usize) -> Gate<'_> {
        if self.breakers.len() == 1 {
            return self.gate_of_slot(0);
        }
        let key = cmd.args_iter().nth(at).and_then(|argument| match argument {
            redis::Arg::Simple(key) => Some(key),
            _ => None,
        });
        self.gate_of_key(key)
    }

    fn gate_of_key(&self, key: Option<&[u8]>) -> Gate<'_> {
        match key {
            Some(key) if self.breakers.len() > 1 => self.gate_of_slot(topology::slot_of(key)),
            _ => self.gate_of_slot(0),
        }
    }

    fn gate_of_slot(&self, slot: u16) -> Gate<'_> {
        let index = usize::from(slot) * self.breakers.len() / usize::from(SLOTS);
        let breaker = &self.breakers[index];
        Gate { breaker, slot }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.abort();
        }
    }
}

fn read<T: FromRedisValue>(verb: Verb, reply: Value) -> Result<T, Error> {
    redis::from_redis_value(reply).map_err(|cause| {
        let verb = verb.as_str();
        let message = format!("redis answered {verb} with something else");
        Error::new(Kind::Corrupt, message).with_source(cause)
    })
}
