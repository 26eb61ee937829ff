//! One record that declares a write.

use std::{
    mem,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{appender::Appender, mirror::own_record::OwnRecord};
use crate::{
    clock::nanos,
    error::{Error, ignore_poison},
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{MAX_LEASE, MAX_PURGES, RecordKind},
        position::Position,
    },
};

/// A declaration in the journal. If it is dropped, or its lease ends, it is closed as an invalidation.
#[derive(Debug)]
pub(super) struct DeclaredRecord {
    /// Empty once it is closed.
    appender: Weak<Appender>,
    token: u64,
    purges: Arc<[Purge]>,
    /// Closes it when its lease ends; `None` outside a runtime. The write must have ended by then (rule
    /// 14).
    lease: Option<Lease>,
}

impl DeclaredRecord {
    /// Declares a write of at most [`MAX_PURGES`] targets.
    pub(super) async fn open(
        appender: &Arc<Appender>,
        token: u64,
        purges: Arc<[Purge]>,
        lease: Duration,
    ) -> Result<Self, Error> {
        let lease = lease.min(MAX_LEASE);
        let until = appender.sync.clock.mono().saturating_add(nanos(lease));
        // Made before the first await: if this future is dropped there, the drop of the declaration
        // withdraws the record that the journal may hold.
        let mut declaration = Self {
            appender: Arc::downgrade(appender),
            token,
            purges,
            lease: None,
        };
        let purges = || Arc::clone(&declaration.purges);
        let mirror = &appender.sync.mirror;
        mirror.change(|mirror| mirror.own_mut().declare(token, purges(), until));
        let open = OwnRecord::new(RecordKind::Open { token, lease }, purges());
        appender.begin(open).deliver_or_forget().await?;
        // From here on, so that the journal's own lease does not end later.
        declaration.lease = Lease::begin(lease, &declaration);
        Ok(declaration)
    }

    pub(super) fn purges(&self) -> &[Purge] {
        &self.purges
    }

    /// See [`Declaration::renew`](super::declaration::Declaration::renew).
    pub(super) async fn renew(&self, lease: Duration) -> Result<(), Error> {
        let Some(appender) = self.appender.upgrade() else {
            return Err(Error::unavailable("the keep has been dropped"));
        };
        let lease = lease.min(MAX_LEASE);
        let token = self.token;
        let until = appender.sync.clock.mono().saturating_add(nanos(lease));
        let mirror = &appender.sync.mirror;
        mirror.change(|mirror| mirror.own_mut().renew(token, until));
        // Before, so that it does not end meanwhile, and after, as in `open`.
        self.extend_lease(lease);
        let open = OwnRecord::new(RecordKind::Open { token, lease }, Arc::clone(&self.purges));
        appender.begin(open).deliver_or_forget().await?;
        self.extend_lease(lease);
        Ok(())
    }

    fn extend_lease(&self, lease: Duration) {
        if let Some(own) = &self.lease {
            *ignore_poison(own.until.lock()) = Instant::now() + lease;
        }
    }

    /// See [`Declaration::keep_open`](super::declaration::Declaration::keep_open).
    pub(super) fn keep_open(mut self) {
        // Without a lease, the declaration is closed here.
        if self.lease.take().is_some() {
            self.appender = Weak::new();
        }
    }

    /// Ends the declaration: invalidates its targets. If the future is dropped, that is queued.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        self.end_lease();
        let Some(appender) = mem::take(&mut self.appender).upgrade() else {
            return Ok(());
        };
        let close = appender.begin(self.closing_record());
        close.deliver().await.map(|_| ())
    }

    /// Ends the declaration with one record, which invalidates its targets and `others`. More than
    /// [`MAX_PURGES`] targets become a purge of everything.
    pub(super) async fn close_by(
        mut self,
        others: Vec<Purge>,
        until: Instant,
    ) -> Result<Position, Error> {
        self.end_lease();
        let Some(appender) = mem::take(&mut self.appender).upgrade() else {
            return Err(Error::unavailable("the keep has been dropped"));
        };
        let mut purges = self.purges.to_vec();
        purges.extend(others);
        if purges.len() > MAX_PURGES {
            purges = vec![Purge::hard(PurgeTarget::Everything)];
        }
        let kind = RecordKind::Close { token: self.token };
        let append = appender.begin(OwnRecord::new(kind, purges.into()));
        append.deliver_by(until).await
    }

    fn end_lease(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.end();
        }
    }

    fn closing_record(&self) -> OwnRecord {
        let kind = RecordKind::Close { token: self.token };
        OwnRecord::new(kind, Arc::clone(&self.purges))
    }
}

impl Drop for DeclaredRecord {
    fn drop(&mut self) {
        self.end_lease();
        if let Some(appender) = self.appender.upgrade() {
            // An append that is dropped is queued.
            drop(appender.begin(self.closing_record()));
        }
    }
}

/// The time for which a declaration may stay open.
#[derive(Debug)]
struct Lease {
    closed: Arc<AtomicBool>,
    /// When it ends.
    until: Arc<Mutex<Instant>>,
    task: AbortHandle,
}

impl Lease {
    /// Spawns a task that closes the declaration at the end of the lease. In one process, nothing else
    /// would: a write whose client stalls may last for ever.
    fn begin(lease: Duration, declaration: &DeclaredRecord) -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let until = Arc::new(Mutex::new(Instant::now() + lease));
        let closed = Arc::default();
        let end = LeaseEnd {
            appender: Weak::clone(&declaration.appender),
            closing: declaration.closing_record(),
            closed: Arc::clone(&closed),
        };
        let current = Arc::clone(&until);
        let task = runtime.spawn(async move {
            let mut at = *ignore_poison(current.lock());
            while at > Instant::now() {
                sleep_until(at).await;
                at = *ignore_poison(current.lock());
            }
            drop(end);
        });
        let task = task.abort_handle();
        Some(Self {
            closed,
            until,
            task,
        })
    }

    /// Ends the lease of a declaration that is being closed.
    fn end(self) {
        self.closed.store(true, Ordering::Release);
        self.task.abort();
    }
}

/// The end of a lease, which also comes with the end of the runtime.
struct LeaseEnd {
    appender: Weak<Appender>,
    closing: OwnRecord,
    closed: Arc<AtomicBool>,
}

impl Drop for LeaseEnd {
    fn drop(&mut self) {
        let closed = self.closed.load(Ordering::Acquire);
        if let Some(appender) = self.appender.upgrade().filter(|_| !closed) {
            drop(appender.begin(self.closing.clone()));
        }
    }
}
