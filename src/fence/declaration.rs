//! Writes that are declared before they begin: those of routes with `before = true`, and attempts to
//! apply queued writes.

use std::{
    mem,
    sync::{Arc, Mutex, Weak},
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
    error::{Error, ignore_poison},
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{MAX_PURGES, RecordKind},
        position::Position,
    },
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
    until: Mutex<Instant>,
}

impl Declaration {
    /// Declares a write under a token that no other declaration has; see
    /// [`Fence::declare`](super::core::Fence::declare).
    pub(super) async fn open(
        appender: &Arc<Appender>,
        token: u64,
        targets: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Self, Error> {
        if targets.len() > MAX_PURGES {
            return Err(Error::config("a declared write names too many targets"));
        }
        let lease = lease.min(MAX_LEASE);
        let until = appender.sync.clock.mono().saturating_add(nanos(lease));
        // Made before the first await: if this future is dropped there, the drop of the declaration
        // withdraws the record that the journal may hold.
        let declaration = Self {
            appender: Arc::downgrade(appender),
            token,
            purges: Purge::of(targets, false).into(),
            until: Mutex::new(Instant::now() + lease),
        };
        let purges = || Arc::clone(&declaration.purges);
        let mirror = &appender.sync.mirror;
        mirror.change(|mirror| mirror.own_mut().declare(token, purges(), until));
        let open = OwnRecord::new(RecordKind::Open { token, lease }, purges());
        appender.begin(open).deliver_or_forget().await?;
        Ok(declaration)
    }

    /// A token for a declaration.
    pub(crate) fn random_token() -> u64 {
        fastrand::u64(1..=i64::MAX.unsigned_abs())
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
        let Some(appender) = self.appender.upgrade() else {
            return Err(Error::unavailable("the keep has been dropped"));
        };
        let lease = lease.min(MAX_LEASE);
        let until = appender.sync.clock.mono().saturating_add(nanos(lease));
        let mirror = &appender.sync.mirror;
        mirror.change(|mirror| mirror.own_mut().renew(self.token, until));
        *ignore_poison(self.until.lock()) = Instant::now() + lease;
        let kind = RecordKind::Open {
            token: self.token,
            lease,
        };
        let open = OwnRecord::new(kind, Arc::clone(&self.purges));
        appender.begin(open).deliver_or_forget().await?;
        Ok(())
    }

    /// Keeps the declaration open until its lease ends, for a write that may still be committed. The
    /// caller must also invalidate the targets now.
    pub(crate) fn keep_open(self) {
        // Without a runtime, the declaration is dropped here.
        if let Ok(runtime) = Handle::try_current() {
            let until = *ignore_poison(self.until.lock());
            runtime.spawn(async move {
                sleep_until(until).await;
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

    /// Ends the declaration with one record, which invalidates the declared targets and `others`, and
    /// returns its position. Appends it again after each failure, until the time `until`.
    ///
    /// # Errors
    ///
    /// If the journal has not answered by then. The record is queued.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the record is queued.
    pub(crate) async fn close_by(
        mut self,
        others: Vec<PurgeTarget>,
        until: Instant,
    ) -> Result<Position, Error> {
        let Some(appender) = mem::take(&mut self.appender).upgrade() else {
            return Err(Error::unavailable("the keep has been dropped"));
        };
        let mut purges = self.purges.to_vec();
        purges.extend(Purge::of(others, false));
        if purges.len() > MAX_PURGES {
            purges = vec![Purge::hard(PurgeTarget::Everything)];
        }
        let kind = RecordKind::Close { token: self.token };
        let append = appender.begin(OwnRecord::new(kind, purges.into()));
        append.deliver_by(until).await
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
