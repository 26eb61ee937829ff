//! Writes that are declared before they begin (`before = true`).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{join, join_all};

use super::{appender::Appender, declared_record::DeclaredRecord};
use crate::{
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::contracts::journal::MAX_PURGES,
};

/// A declared write. If it is dropped, or its lease ends, it is closed as an invalidation.
#[derive(Debug)]
#[must_use = "if it is dropped, the write counts as ended"]
pub(crate) struct Declaration {
    appender: Weak<Appender>,
    /// Several if one record cannot name all targets, which may be as many as the path has readings.
    records: Vec<DeclaredRecord>,
}

impl Declaration {
    /// Declares a write; see [`Fence::declare`](super::core::Fence::declare).
    pub(super) async fn open(
        appender: &Arc<Appender>,
        targets: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Self, Error> {
        let mut records = Vec::new();
        for purges in Purge::of(targets, false).chunks(MAX_PURGES) {
            records.push(DeclaredRecord::open(appender, purges.into(), lease).await?);
        }
        Ok(Self {
            appender: Arc::downgrade(appender),
            records,
        })
    }

    /// What the write has declared.
    pub(crate) fn targets(&self) -> Vec<PurgeTarget> {
        let purges = self.records.iter().flat_map(DeclaredRecord::purges);
        purges.map(|purge| purge.target.clone()).collect()
    }

    /// Keeps the declaration open until its lease ends, for a write that may still be committed. The
    /// caller must also invalidate the targets now.
    pub(crate) fn keep_open(self) {
        self.records.into_iter().for_each(DeclaredRecord::keep_open);
    }

    /// Ends the declaration: invalidates the declared targets, and `targets`.
    ///
    /// # Errors
    ///
    /// Those of [`Fence::invalidate`](super::core::Fence::invalidate).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the invalidation is queued.
    pub(crate) async fn close(self, targets: Vec<PurgeTarget>) -> Result<(), Error> {
        let Some(appender) = self.appender.upgrade() else {
            return Ok(());
        };
        let others = Purge::of(targets, false);
        let closed = join_all(self.records.into_iter().map(DeclaredRecord::close));
        let (closed, others) = join(closed, appender.purge(&others)).await;
        let closed: Result<(), Error> = closed.into_iter().collect();
        closed.and(others.map(|_| ()))
    }
}
