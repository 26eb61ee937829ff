//! The handle that all layers share: the table, both tiers, the fence, and the cache as an API for
//! code that is not a request handler.

mod applied;
mod brief;
pub(crate) mod fill;
pub(crate) mod fleet;
pub(crate) mod head;
mod invalidate;
mod invalidation;
mod limits;
pub(crate) mod lookup;
mod put;
mod searches;
mod shared;
mod sweep;
pub(crate) mod targets;
pub(crate) mod values;
mod warm;

use std::{fmt, sync::Arc};

use http::request;

pub use applied::Invalidations;
pub use invalidate::Invalidate;
pub use invalidation::Invalidation;
pub use limits::Allowance;
pub(crate) use shared::{Shared, Snapshot};
pub use values::{EntryOf, Mark};
pub use warm::Warmed;

pub use crate::{
    body::{RequestBody, ResponseBody},
    future::ResponseFuture,
};

use crate::{clock::Clock, error::Error, identity::UserId, table::Table};

/// The handle. Every clone of it is the same keep.
#[derive(Clone)]
pub struct Keep(Arc<Shared>);

impl Keep {
    /// A keep in this process alone; nothing needs to be installed.
    ///
    /// What is wrong in a table made in code is left out, with an event that says what to write
    /// instead; [`Table::validate`] tells beforehand. A limit that is wrong refuses nobody. A table
    /// from a file is known to be right.
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self(Shared::in_process(&table, Clock::tokio()))
    }

    pub(crate) fn with_clock(table: &Table, clock: Clock) -> Self {
        Self(Shared::in_process(table, clock))
    }

    /// A keep that shares what it stores, invalidates and counts with every other process that
    /// uses the same Redis and namespace; each keeps a small local tier in front.
    ///
    /// A Redis that cannot be reached is an outage, not an error: nothing stored is used before the
    /// journal has been reached for the first time.
    ///
    /// # Errors
    ///
    /// If the table is wrong; the error says what to write instead.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with time and I/O enabled.
    #[cfg(feature = "redis")]
    pub async fn with_store(
        table: Table,
        store: crate::store::redis::RedisStore,
    ) -> Result<Self, Error> {
        table.validate()?;
        Ok(Self(Shared::on_redis(&table, &store).await))
    }

    /// Takes `table` in place of the present one: for the next request, as a whole. Only the
    /// `deadline` of commands to the store stays what it was.
    ///
    /// With another `max_lag`, what was stored is used for that long after the last proof of its
    /// freshness; a proof that is too old for it ends its use at once.
    ///
    /// # Errors
    ///
    /// If the table is wrong, or its namespace is another; the present one stays.
    pub fn reload(&self, table: &Table) -> Result<(), Error> {
        self.0.reload(table)
    }

    /// Says who a request's user is, for requests without a [`UserId`] extension.
    pub fn identify<F>(&self, identify: F)
    where
        F: Fn(&request::Parts) -> Option<UserId> + Send + Sync + 'static,
    {
        self.0.set_identify(Box::new(identify));
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
