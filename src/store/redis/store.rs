//! The public handle to Redis.

use std::{fmt, time::Duration};

use super::{client::RedisClient, config::Config};
use crate::error::Error;

/// A connection to Redis or Valkey (one server, a primary behind Sentinels, or a Cluster) through
/// which processes share a keep.
///
/// | URL | |
/// |---|---|
/// | `redis://[user:password@]host[:port][/database]` | one server |
/// | `rediss://…` | with TLS; feature `tls` |
/// | `unix:///path[?db=…&user=…&pass=…]` | over a Unix socket |
/// | `redis+cluster://[user:password@]host:port,host:port` | a Cluster, found from any of its nodes |
/// | `redis+sentinel://[user:password@]host[:port],host[:port]/name[/database]` | the primary of that name, found from any of its Sentinels; the credentials are the primary's |
/// | `rediss+cluster://…`, `rediss+sentinel://…` | with TLS |
///
/// Each process opens several connections (as many as cores, but at least two and at most four),
/// over which commands are multiplexed; concurrent reads are sent in batches. Connections are
/// replaced in the background; while Redis does not answer, no request waits for it. Clones share
/// the connections.
#[derive(Clone)]
pub struct RedisStore {
    client: RedisClient,
    deadline: Option<Duration>,
}

impl RedisStore {
    /// Connects with the default settings.
    ///
    /// An unreachable server is not an error: the store connects as soon as it can.
    ///
    /// ```no_run
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, RedisStore, Table};
    ///
    /// let store = RedisStore::connect("redis://127.0.0.1:6379/0").await?;
    /// let keep = Keep::with_store(Table::new(), store).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, it leaves no connection and no task behind.
    ///
    /// # Errors
    ///
    /// If the URL is invalid, the credentials are refused, or the ACL forbids a command (named in the
    /// error).
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime with time and I/O enabled.
    pub async fn connect(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Returns a builder, for settings other than the defaults.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keep::RedisStore;
    ///
    /// let patient = RedisStore::builder("redis+cluster://10.0.0.1:7000,10.0.0.2:7000")
    ///     .connections(4)
    ///     .deadline(Duration::from_millis(100));
    /// ```
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder {
            url: url.into(),
            config: Config::default(),
            deadline: None,
        }
    }

    /// The client, with the table's deadline unless the builder was given one.
    pub(crate) fn client(&self, deadline: Duration) -> RedisClient {
        self.client.set_deadline(self.deadline.unwrap_or(deadline));
        self.client.clone()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStore").field(&self.client).finish()
    }
}

/// Settings of a [`RedisStore`], before it connects.
#[derive(Clone)]
#[must_use = "nothing is connected before `connect`"]
pub struct RedisStoreBuilder {
    url: String,
    config: Config,
    deadline: Option<Duration>,
}

impl RedisStoreBuilder {
    /// Sets how many connections this process opens (to each node of a Cluster); at least one.
    pub fn connections(mut self, connections: usize) -> Self {
        self.config.connections = connections;
        self
    }

    /// Sets how long a request waits for one command, in place of the table's `[store] deadline`.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self.config.deadline = deadline;
        self
    }

    /// Sets the certificate authority, as PEM, that `rediss://` trusts in place of the public ones.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.config.root_certificate = Some(pem.into());
        self
    }

    /// Connects, as [`RedisStore::connect`] does.
    ///
    /// # Errors
    ///
    /// As [`RedisStore::connect`].
    ///
    /// # Panics
    ///
    /// As [`RedisStore::connect`].
    pub async fn connect(self) -> Result<RedisStore, Error> {
        let client = RedisClient::connect(&self.url, self.config).await?;
        Ok(RedisStore {
            client,
            deadline: self.deadline,
        })
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisStoreBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
