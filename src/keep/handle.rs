//! The handle that the layers share.

use std::{fmt, sync::Arc};

use http::{Extensions, Uri, request};

#[cfg(feature = "redis")]
use crate::engine::acceptance::queue_check;
use crate::{
    clock::Clock,
    engine::{core::Engine, snapshot},
    error::Error,
    identity::UserId,
    table::Table,
};

/// The handle that all layers share. Clones share the same table, tiers and limits.
#[derive(Clone)]
pub struct Keep(Arc<Engine>);

impl Keep {
    /// Creates a keep without Redis, for a single process.
    ///
    /// Each warning of [`Table::check`] is logged.
    ///
    /// ```
    /// use tower_keep::{Keep, Table, table::mins};
    ///
    /// let keep = Keep::new(Table::new().ttl("engagement", mins(30)))?;
    /// # let _ = keep;
    /// # Ok::<(), tower_keep::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the table is wrong; the error says what to write instead.
    pub fn new(table: Table) -> Result<Self, Error> {
        Self::with_clock(&table, Clock::tokio())
    }

    pub(crate) fn with_clock(table: &Table, clock: Clock) -> Result<Self, Error> {
        let plan = snapshot::compile(table)?;
        Ok(Self(Engine::in_process(plan, clock)))
    }

    /// A keep without Redis whose fence follows a test's journal.
    #[cfg(test)]
    pub(crate) fn with_fence(
        table: &Table,
        clock: Arc<Clock>,
        fence: Arc<crate::fence::core::Fence>,
    ) -> Result<Self, Error> {
        let plan = snapshot::compile(table)?;
        Ok(Self(Engine::with_fence(plan, clock, fence)))
    }

    /// Creates a keep that shares stored entries, invalidations and rate limits with every process that
    /// uses the same Redis and namespace. Each process has a local tier in front of Redis.
    ///
    /// It is not an error if Redis cannot be reached. Until the journal of invalidations has been read
    /// for the first time, only responses that this process has fetched within `max_lag` are used.
    ///
    /// ```no_run
    /// # async fn keep() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, RedisStore, Table};
    ///
    /// let store = RedisStore::connect("redis://127.0.0.1/").await?;
    /// let keep = Keep::with_store(Table::load("keep.toml")?, store).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the table is wrong, or if a route has `write = "behind"` and the server cannot keep accepted
    /// writes as the table demands (`durable`), or may evict them (`maxmemory-policy`). The error says
    /// what to write instead.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime with time and I/O enabled.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the keep is not created.
    #[cfg(feature = "redis")]
    pub async fn with_store(
        table: Table,
        store: crate::store::redis::RedisStore,
    ) -> Result<Self, Error> {
        let plan = snapshot::compile(&table)?;
        let engine = Engine::on_redis(plan, &store).await;
        queue_check::check(&engine).await?;
        Ok(Self(engine))
    }

    /// Replaces the table. Each request uses either the old or the new one as a whole. Only the
    /// `deadline` of commands to the store keeps its old value.
    ///
    /// Each warning of [`Table::check`] is logged. A new `max_lag` applies at once to stored entries: if
    /// this process last read the journal longer ago, they are not used until it has read it again.
    ///
    /// ```
    /// use tower_keep::{Keep, Table, table::mins};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// keep.reload(&Table::new().ttl("engagement", mins(5)))?;
    /// assert!(keep.reload(&Table::new().namespace("shop:")).is_err());
    /// # Ok::<(), tower_keep::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the table is wrong, or its namespace differs from the current one. The old table stays in use.
    pub fn reload(&self, table: &Table) -> Result<(), Error> {
        self.0.reload(table)
    }

    /// Sets the function that identifies the user of a request without a [`UserId`] extension.
    ///
    /// The user that it returns counts as verified, so the function must verify it. Each layer calls
    /// it for requests whose key, scope, limit or invalidations may depend on the user. A later
    /// call replaces the function.
    ///
    /// ```
    /// # use tower_keep::{Keep, Table, UserId};
    /// # fn session_of(_: &str) -> Option<UserId> { None }
    /// let keep = Keep::new(Table::new())?;
    /// keep.identify(|parts| {
    ///     let token = parts.headers.get("x-session")?.to_str().ok()?;
    ///     session_of(token)
    /// });
    /// # Ok::<(), tower_keep::Error>(())
    /// ```
    pub fn identify<F>(&self, identify: F)
    where
        F: Fn(&request::Parts) -> Option<UserId> + Send + Sync + 'static,
    {
        self.0.extractors.set_identify(Box::new(identify));
    }

    /// Sets the function that finds the URI with which a request was received, for routers that
    /// remove a prefix of the path and keep the original URI in an extension. Without it two nested
    /// routers share keys, and one serves the other's content.
    ///
    /// axum's `nest` does not need it (feature `axum`, on by default). If the function returns `None`,
    /// the request's own URI is used. Call it once, before the first request; a second function is
    /// ignored and logged as a warning.
    ///
    /// ```
    /// # use tower_keep::{Keep, Table};
    /// #[derive(Clone)]
    /// struct Received(http::Uri);
    ///
    /// let keep = Keep::new(Table::new())?;
    /// keep.path(|extensions| extensions.get::<Received>().map(|received| &received.0));
    /// # Ok::<(), tower_keep::Error>(())
    /// ```
    pub fn path<F>(&self, find: F)
    where
        F: for<'a> Fn(&'a Extensions) -> Option<&'a Uri> + Send + Sync + 'static,
    {
        if !self.0.extractors.set_find_uri(Box::new(find)) {
            tracing::warn!("Keep::path was called again: the first function stays in use");
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0
    }
}

/// A keep without Redis, with an empty table.
impl Default for Keep {
    fn default() -> Self {
        Self::new(Table::new()).expect("an empty table is valid")
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep")
            .field("tiers", &self.0.tiers)
            .finish_non_exhaustive()
    }
}
