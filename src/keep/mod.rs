//! The handle that all layers share: the table, both tiers, the fence, and the cache as an API for
//! code that is not a request handler.

mod events;
mod invalidate;
mod invalidation;
mod limits;
pub(crate) mod values;
mod warm;

use std::{fmt, sync::Arc};

use http::{Extensions, Uri, request};

pub use events::Invalidations;
pub use invalidate::InvalidateFuture;
pub use invalidation::Invalidation;
pub use limits::RateLimitResult;
pub use values::{Mark, ValueEntry};
pub use warm::WarmUpReport;

use crate::{
    clock::Clock,
    engine::{core::Engine, snapshot},
    error::Error,
    identity::UserId,
    table::Table,
};

/// The handle. Every clone of it is the same keep.
#[derive(Clone)]
pub struct Keep(Arc<Engine>);

impl Keep {
    /// A keep in this process alone; nothing needs to be installed.
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

    /// A keep that shares what it stores, invalidates and counts with every other process that
    /// uses the same Redis and namespace; each keeps a small local tier in front.
    ///
    /// A Redis that cannot be reached is an outage, not an error: until the journal has been reached
    /// for the first time, nothing stored is used but what this process itself has just fetched.
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
    /// If the table is wrong; the error says what to write instead.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is left behind.
    #[cfg(feature = "redis")]
    pub async fn with_store(
        table: Table,
        store: crate::store::redis::RedisStore,
    ) -> Result<Self, Error> {
        let plan = snapshot::compile(&table)?;
        Ok(Self(Engine::on_redis(plan, &store).await))
    }

    /// Takes `table` in place of the present one: for the next request, as a whole. Only the
    /// `deadline` of commands to the store stays what it was.
    ///
    /// With another `max_lag`, what was stored is used for that long after the last proof of its
    /// freshness; a proof that is too old for it ends its use at once.
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
    /// If the table is wrong, or its namespace is another; the present one stays.
    pub fn reload(&self, table: &Table) -> Result<(), Error> {
        self.0.reload(table)
    }

    /// Says who a request's user is, for requests without a [`UserId`] extension. What it answers
    /// counts as verified, so it must prove it. Each layer asks for itself, where a key, a scope, a limit
    /// or what a write changes may depend on the user.
    ///
    /// ```
    /// # use tower_keep::{Keep, Table, UserId};
    /// # fn session_of(_: &str) -> Option<UserId> { None }
    /// let keep = Keep::new(Table::new())?;
    /// keep.identify(|parts| {
    ///     let token = parts.headers.get("x-session")?.to_str().ok()?;
    ///     session_of(token)
    /// });
    /// ```
    pub fn identify<F>(&self, identify: F)
    where
        F: Fn(&request::Parts) -> Option<UserId> + Send + Sync + 'static,
    {
        self.0.set_identify(Box::new(identify));
    }

    /// Says which URI a request was received with, for routers that change it and keep the original
    /// in an extension, so that keys come from the whole path. axum's `nest` needs no such function
    /// (feature `axum`). Where the function finds nothing, the request's own URI counts.
    ///
    /// To be set before the first request, once: a second function is ignored with a warning.
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
        if !self.0.set_original_uri(Box::new(find)) {
            tracing::warn!("Keep::path was called twice: the first function stays in use");
        }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.0
    }
}

/// A keep in this process alone, with an empty table.
impl Default for Keep {
    fn default() -> Self {
        let plan = Table::new().compile().expect("an empty table is valid");
        Self(Engine::in_process(plan, Clock::tokio()))
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
