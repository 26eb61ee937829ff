//! Own invalidations on their way to the journal.

use std::sync::{Arc, Weak};

use futures_util::FutureExt;

use super::{
    check::{Capture, Fence},
    index::Index,
    names::Names,
    pending::Batch,
};
use crate::{
    error::Error,
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{AppendRequest, Appended, MAX_PURGES, Record, RecordKind},
        position::Position,
    },
};

impl Fence {
    /// Appends an invalidation and applies it here. From the first poll on, what it names is
    /// uncacheable at this process until that has been done.
    ///
    /// # Errors
    ///
    /// The journal has not taken it, or its answer was lost: it is queued and will be appended again
    /// until it is applied. Nothing is left to be done by the caller.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it is queued.
    pub(crate) async fn invalidate(
        &self,
        subjects: Vec<PurgeTarget>,
        soft: bool,
    ) -> Result<Position, Error> {
        self.purge(&Purge::of(subjects, soft)).await
    }

    /// Queues an invalidation and waits for nothing: what it names is uncacheable here at once.
    pub(crate) fn invalidate_later(&self, subjects: Vec<PurgeTarget>, soft: bool) {
        self.purge_later(&Purge::of(subjects, soft));
    }

    pub(crate) fn purge_later(&self, purges: &[Purge]) {
        self.queue_all(purges, true);
    }

    /// What the fence is told by other programs: not published again. Nobody waits for it, so that
    /// whoever listens goes on listening, however slow the journal is.
    pub(super) fn purge_foreign(&self, purges: &[Purge]) {
        self.queue_all(purges, false);
    }

    fn queue_all(&self, purges: &[Purge], public: bool) {
        for chunk in purges.chunks(MAX_PURGES) {
            // Dropped at once, the ticket queues it.
            drop(self.ticket_for(RecordKind::Invalidate, chunk.into(), public));
        }
        self.settle_later(purges);
    }

    /// As [`invalidate`](Self::invalidate), hard and soft ones at once.
    pub(crate) async fn purge(&self, purges: &[Purge]) -> Result<Position, Error> {
        // All of them at once, before the first await: what is dropped is queued, none is forgotten.
        let tickets: Vec<_> = purges
            .chunks(MAX_PURGES)
            .map(|chunk| self.ticket(RecordKind::Invalidate, chunk.into()))
            .collect();
        let mut outcome = Ok(self.position());
        for ticket in tickets {
            let appended = ticket.deliver().await;
            outcome = outcome.and(appended);
        }
        self.settle_later(purges);
        outcome
    }

    /// Appends an invalidation for a write whose answer is to be stored under `target`. Answers the
    /// position to store it at (with `put`'s own condition), or `None` if another write may have
    /// come between: then it was invalidated only (rule 15). `before` is where the writer began.
    ///
    /// # Errors
    ///
    /// As [`invalidate`](Self::invalidate); nothing may be stored.
    pub(crate) async fn write_through(
        &self,
        before: &Capture,
        subjects: Vec<PurgeTarget>,
        target: Names<'_>,
    ) -> Result<Option<Position>, Error> {
        let purges: Vec<_> = subjects.into_iter().map(Purge::hard).collect();
        if purges.len() > MAX_PURGES {
            return self.purge(&purges).await.map(|_| None);
        }
        let ticket = self.ticket(RecordKind::Invalidate, purges.into());
        ticket.deliver_through(before.position, target).await
    }

    /// From now on until it has been delivered, what this names is uncacheable here.
    pub(super) fn ticket(&self, kind: RecordKind, purges: Arc<[Purge]>) -> Ticket<'_> {
        let public = !matches!(kind, RecordKind::Open { .. });
        self.ticket_for(kind, purges, public)
    }

    fn ticket_for(&self, kind: RecordKind, purges: Arc<[Purge]>, public: bool) -> Ticket<'_> {
        let id = self.change(|mirror| mirror.pend(kind, Arc::clone(&purges), public));
        Ticket {
            fence: self,
            batch: Batch {
                ids: vec![id],
                kind,
                purges,
                public,
            },
            needed: true,
            settled: false,
        }
    }

    /// Sends once; with `since`, what happened since then comes along. `None`: the journal is in another epoch than the mirror.
    async fn attempt(
        &self,
        batch: &Batch,
        since: Option<Position>,
        queued: bool,
    ) -> Result<Option<Appended>, Error> {
        let known = self.position();
        let draft = AppendRequest {
            known: since
                .filter(|since| since.epoch == known.epoch)
                .unwrap_or(known),
            kind: batch.kind,
            purges: Arc::clone(&batch.purges),
            with_open: since.is_some(),
            queued,
        };
        let reply = self.journal.append(&draft).await?;
        let now = self.clock.mono();
        let applied = self.change(|mirror| {
            let applied = mirror.own(known, batch, &reply, now);
            if applied && batch.public {
                // Before it counts as delivered: who flushes waits for this, too.
                self.programs.tell(&batch.purges);
            }
            applied
        });
        Ok(applied.then_some(reply))
    }

    /// Appends again what is queued, oldest first, until nothing is left or the journal fails.
    pub(super) async fn drain(&self) -> Result<(), Error> {
        while let Some(batch) = self.read(|mirror| mirror.batch()) {
            if self.attempt(&batch, None, true).await?.is_none() {
                self.sync().await?;
            }
        }
        Ok(())
    }

    /// Something is queued.
    pub(super) fn kick(&self) {
        if self.has_tasks() {
            self.undelivered.notify_one();
        } else {
            // The journal of one process answers at once.
            let _ = self.drain().now_or_never();
        }
    }

    /// Reads may lag behind the write for a while: what they filled is invalidated after that.
    pub(super) fn settle_later(&self, purges: &[Purge]) {
        if self.options.settle.is_zero() {
            return;
        }
        let (fence, delay) = (Weak::clone(&self.me), self.options.settle);
        let purges: Vec<Arc<[Purge]>> = purges.chunks(MAX_PURGES).map(Arc::from).collect();
        let again = async move {
            tokio::time::sleep(delay).await;
            let Some(fence) = fence.upgrade() else { return };
            for purges in purges {
                // Queued if it fails.
                let _ = fence.ticket(RecordKind::Invalidate, purges).deliver().await;
            }
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(again);
        }
    }
}

/// An own append under way; queued when it is dropped before its reply was applied.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    fence: &'a Fence,
    batch: Batch,
    needed: bool,
    settled: bool,
}

impl Ticket<'_> {
    pub(super) async fn deliver(self) -> Result<Position, Error> {
        let (appended, _) = self.deliver_since(None).await?;
        Ok(appended.position)
    }

    /// See [`Fence::write_through`].
    pub(super) async fn deliver_through(
        self,
        before: Position,
        target: Names<'_>,
    ) -> Result<Option<Position>, Error> {
        self.fence.settle_later(&self.batch.purges);
        let (appended, attempts) = self.deliver_since(Some(before)).await?;
        let alone = attempts == 1
            && appended.floor <= before.n
            && appended.tells_all_since(before)
            && !names_any(&appended, target);
        Ok(alone.then_some(appended.position))
    }

    /// And after how many attempts. With `since`, what happened since then comes along.
    async fn deliver_since(mut self, since: Option<Position>) -> Result<(Appended, u32), Error> {
        for attempt in 1..=ATTEMPTS {
            let sent = self.fence.attempt(&self.batch, since, false).await?;
            if let Some(appended) = sent {
                self.settled = true;
                return Ok((appended, attempt));
            }
            self.fence.sync().await?;
        }
        Err(Error::unavailable(
            "the journal changes its epoch again and again",
        ))
    }

    /// As a declaration: nobody needs it any more once it has failed.
    pub(super) async fn deliver_or_forget(mut self) -> Result<Position, Error> {
        self.needed = false;
        self.deliver().await
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if self.needed {
            self.fence.change(|mirror| {
                for id in &self.batch.ids {
                    mirror.queue(*id);
                }
            });
            self.fence.kick();
        } else {
            self.fence.change(|mirror| {
                for id in &self.batch.ids {
                    mirror.forget(*id);
                }
            });
        }
    }
}

/// Whether another record since, or an open declaration, names the entry.
fn names_any(appended: &Appended, target: Names<'_>) -> bool {
    let records = appended
        .between
        .iter()
        .map(|record: &Record| &record.purges);
    let declared = appended.open.iter().map(|open| &open.purges);
    let mut index = Index::<()>::default();
    for purge in records.chain(declared).flat_map(|purges| purges.iter()) {
        index.update(&purge.subject, |()| ());
    }
    let mut named = false;
    index.visit(target, |()| named = true);
    named
}

/// A new epoch is rare: two in a row during one append are a journal that does not stand still.
const ATTEMPTS: u32 = 3;
