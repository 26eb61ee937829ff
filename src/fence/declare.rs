//! Writes that are declared before they begin (`before = true`).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join;
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

#[cfg(test)]
use super::{check::Capture, names::Names};
use super::{check::Fence, pending::nanos};
use crate::{
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{MAX_PURGES, RecordKind},
        position::Position,
    },
};

impl Fence {
    /// Declares a write: until it is closed, or `lease` has passed, what it names is uncacheable at
    /// every process; then it counts as written. The lease must exceed the longest possible write.
    ///
    /// # Errors
    ///
    /// The journal has not taken it, or there are too many subjects: the write is not declared.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the declaration is withdrawn: its closing is queued.
    pub(crate) async fn open(
        &self,
        subjects: Vec<PurgeTarget>,
        lease: Duration,
    ) -> Result<Declaration, Error> {
        if subjects.len() > MAX_PURGES {
            return Err(Error::config("a declared write names too many subjects"));
        }
        let lease = lease.min(LONGEST_LEASE);
        let purges: Arc<[Purge]> = subjects.into_iter().map(Purge::hard).collect();
        let token = fastrand::u64(1..=i64::MAX.unsigned_abs());
        let until = self.clock.mono().saturating_add(nanos(lease));
        self.change(|mirror| mirror.declare(token, Arc::clone(&purges), until));
        let mut opening = Opening {
            fence: self,
            token,
            purges: Arc::clone(&purges),
            done: false,
        };
        let ticket = self.ticket(RecordKind::Open { token, lease }, Arc::clone(&purges));
        ticket.deliver_or_forget().await?;
        opening.done = true;
        Ok(Declaration {
            fence: Weak::clone(&self.me),
            token,
            purges,
            until: Instant::now() + lease,
            closed: false,
        })
    }
}

/// A declared write; dropped, it is closed as an invalidation.
#[derive(Debug)]
#[must_use = "dropped, the write counts as over"]
pub(crate) struct Declaration {
    fence: Weak<Fence>,
    token: u64,
    purges: Arc<[Purge]>,
    /// Until when the write may be committed.
    until: Instant,
    closed: bool,
}

impl Declaration {
    /// Nobody knows whether the write is over: it stays declared until its lease ends, and counts
    /// as written then. That it may have been written already is to be appended beside.
    pub(crate) fn linger(self) {
        // Without a runtime it is dropped here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                sleep_until(self.until).await;
                drop(self);
            });
        }
    }

    /// The write is over: appends an invalidation of what was declared and of `subjects`.
    ///
    /// # Errors
    ///
    /// As [`Fence::invalidate`].
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is queued.
    pub(crate) async fn close(mut self, subjects: Vec<PurgeTarget>) -> Result<Position, Error> {
        let Some(fence) = self.fence.upgrade() else {
            return Ok(Position::UNKNOWN);
        };
        self.closed = true;
        let kind = RecordKind::Close { token: self.token };
        let ticket = fence.ticket(kind, Arc::clone(&self.purges));
        let also: Vec<_> = subjects.into_iter().map(Purge::hard).collect();
        fence.settle_later(&self.purges);
        if also.is_empty() {
            return ticket.deliver().await;
        }
        let (declared, also) = join(ticket.deliver(), fence.purge(&also)).await;
        let (declared, also) = (declared?, also?);
        Ok(if also.n > declared.n { also } else { declared })
    }

    #[cfg(test)]
    /// The write is over, and its answer is to be stored: [`Fence::write_through`] of a declared
    /// write. Everything that it writes must have been declared.
    ///
    /// # Errors
    ///
    /// As [`Fence::invalidate`]; nothing may be stored.
    pub(crate) async fn close_through(
        mut self,
        before: &Capture,
        target: Names<'_>,
    ) -> Result<Option<Position>, Error> {
        let Some(fence) = self.fence.upgrade() else {
            return Ok(None);
        };
        self.closed = true;
        let kind = RecordKind::Close { token: self.token };
        let ticket = fence.ticket(kind, Arc::clone(&self.purges));
        ticket.deliver_through(before.position, target).await
    }
}

impl Drop for Declaration {
    fn drop(&mut self) {
        if !self.closed
            && let Some(fence) = self.fence.upgrade()
        {
            let kind = RecordKind::Close { token: self.token };
            // Dropped at once, the ticket queues it.
            drop(fence.ticket(kind, Arc::clone(&self.purges)));
        }
    }
}

/// A declaration that nobody got is withdrawn: the journal may hold it all the same.
struct Opening<'a> {
    fence: &'a Fence,
    token: u64,
    purges: Arc<[Purge]>,
    done: bool,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.fence.change(|mirror| mirror.undeclare(self.token));
            let kind = RecordKind::Close { token: self.token };
            // Dropped at once, the ticket queues it.
            drop(self.fence.ticket(kind, Arc::clone(&self.purges)));
        }
    }
}

const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);
