//! Writes that are declared before they begin (`before = true`).

use std::{
    mem,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::{appender::Appender, mirror::own_record::OwnRecord};
use crate::{
    clock::nanos,
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::contracts::journal::{MAX_PURGES, RecordKind},
};

/// A declared write. If it is dropped, it is closed as an invalidation.
#[derive(Debug)]
#[must_use = "if it is dropped, the write counts as ended"]
pub(crate) struct Declaration {
    /// Empty once it is closed.
    appender: Weak<Appender>,
    token: u64,
    purges: Arc<[Purge]>,
    /// When the lease ends. The write must have ended by then (rule 14).
    until: Instant,
}

impl Declaration {
    /// Declares a write; see [`Fence::declare`](super::core::Fence::declare).
    pub(super) async fn open(
        appender: &Arc<Appender>,
        targets: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Self, Error> {
        if targets.len() > MAX_PURGES {
            return Err(Error::config("a declared write names too many targets"));
        }
        let lease = lease.min(MAX_LEASE);
        let token = fastrand::u64(1..=i64::MAX.unsigned_abs());
        let until = appender.sync.clock.mono().saturating_add(nanos(lease));
        // Made before the first await: if this future is dropped there, the drop of the declaration
        // withdraws the record that the journal may hold.
        let declaration = Self {
            appender: Arc::downgrade(appender),
            token,
            purges: Purge::of(targets, false).into(),
            until: Instant::now() + lease,
        };
        let purges = || Arc::clone(&declaration.purges);
        let mirror = &appender.sync.mirror;
        mirror.change(|mirror| mirror.own_mut().declare(token, purges(), until));
        let open = OwnRecord::new(RecordKind::Open { token, lease }, purges());
        appender.begin(open).deliver_or_forget().await?;
        Ok(declaration)
    }

    /// Keeps the declaration open until its lease ends, for a write that may still be committed. The
    /// caller must also invalidate the targets now.
    pub(crate) fn keep_open(self) {
        // Without a runtime, the declaration is dropped here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sleep_until(self.until).await;
                drop(self);
            });
        }
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
    pub(crate) async fn close(mut self, targets: Vec<PurgeTarget>) -> Result<(), Error> {
        let Some(appender) = mem::take(&mut self.appender).upgrade() else {
            return Ok(());
        };
        let close = appender.begin(self.closing_record()).deliver();
        let others = Purge::of(targets, false);
        let (declared, others) = join(close, appender.purge(&others)).await;
        declared.and(others).map(|_| ())
    }

    fn closing_record(&self) -> OwnRecord {
        let kind = RecordKind::Close { token: self.token };
        OwnRecord::new(kind, Arc::clone(&self.purges))
    }
}

impl Drop for Declaration {
    fn drop(&mut self) {
        if let Some(appender) = self.appender.upgrade() {
            // An append that is dropped is queued.
            drop(appender.begin(self.closing_record()));
        }
    }
}

const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
