//! Writes that are declared before they begin: those of routes with `before = true`, and attempts to
//! apply queued writes.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::{join, join_all};
use tokio::time::Instant;

use super::{appender::Appender, declared_record::DeclaredRecord};
use crate::{
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::{contracts::journal::MAX_PURGES, position::Position},
};

/// A declared write. If it is dropped, or its lease ends, it is closed as an invalidation.
#[derive(Debug)]
#[must_use = "if it is dropped, the write counts as ended"]
pub(crate) struct Declaration {
    appender: Weak<Appender>,
    /// Several if one record cannot name all targets, which may be as many as the path has readings.
    /// Never empty.
    records: Vec<DeclaredRecord>,
}

impl Declaration {
    /// Declares a write; see [`Fence::declare_as`](super::core::Fence::declare_as).
    pub(super) async fn open(
        appender: &Arc<Appender>,
        token: u64,
        targets: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Self, Error> {
        let purges = Purge::of(targets, false);
        let mut chunks = purges.chunks(MAX_PURGES);
        let first = chunks.next().unwrap_or_default();
        let mut records = vec![DeclaredRecord::open(appender, token, first.into(), lease).await?];
        for purges in chunks {
            let token = Self::random_token();
            records.push(DeclaredRecord::open(appender, token, purges.into(), lease).await?);
        }
        Ok(Self {
            appender: Arc::downgrade(appender),
            records,
        })
    }

    /// A token for a declaration.
    pub(crate) fn random_token() -> u64 {
        fastrand::u64(1..=i64::MAX.unsigned_abs())
    }

    /// What the write has declared.
    pub(crate) fn targets(&self) -> Vec<PurgeTarget> {
        let purges = self.records.iter().flat_map(DeclaredRecord::purges);
        purges.map(|purge| purge.target.clone()).collect()
    }

    /// Extends the lease, so that it ends after `lease` from now. For other processes nothing changes.
    ///
    /// Wait for its end before the declaration is closed: a renewal that reaches the journal after the
    /// closing opens the declaration again, until this lease ends.
    ///
    /// # Errors
    ///
    /// If the journal has not answered. It may have the old lease or the new one.
    ///
    /// # Cancel safety
    ///
    /// The lease may or may not have been extended.
    pub(crate) async fn renew(&self, lease: Duration) -> Result<(), Error> {
        let renewals = self.records.iter().map(|record| record.renew(lease));
        join_all(renewals).await.into_iter().collect()
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

    /// Ends the declaration: invalidates the declared targets and `others`, and returns the position of
    /// the last record. Appends each record again after each failure, until the time `until`.
    ///
    /// # Errors
    ///
    /// If the journal has not answered by then. What is left is queued.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what is left is queued.
    pub(crate) async fn close_by(
        self,
        others: Vec<PurgeTarget>,
        until: Instant,
    ) -> Result<Position, Error> {
        let mut others = Purge::of(others, false);
        let mut position = Position::UNKNOWN;
        for record in self.records {
            position = record.close_by(std::mem::take(&mut others), until).await?;
        }
        Ok(position)
    }
}
