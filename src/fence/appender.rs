//! Appends this process's own records to the journal.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    task::AbortHandle,
    time::{Instant, timeout_at},
};

use super::{
    entry_names::EntryNames,
    journal_sync::JournalSync,
    mirror::{own_appends::OwnAppends, own_record::OwnRecord},
    pubsub::PubSub,
    target_index::TargetIndex,
};
use crate::{
    clock::Backoff,
    error::Error,
    key::purge::Purge,
    store::{
        contracts::journal::{AppendReply, AppendRequest, MAX_PURGES},
        position::Position,
    },
};

/// Appends records, and appends them again until they have been applied.
pub(super) struct Appender {
    pub(super) sync: JournalSync,
    pub(super) pubsub: Arc<PubSub>,
    /// The background tasks. Once set, one of them delivers the queued records.
    pub(super) tasks: OnceLock<Box<[AbortHandle]>>,
}

impl Appender {
    /// Appends the purges; see [`Fence::purge`](super::core::Fence::purge).
    pub(super) async fn purge(&self, purges: &[Purge]) -> Result<Position, Error> {
        // All appends begin before the first await, so that none is lost if the future is dropped.
        let appends: Vec<_> = purges
            .chunks(MAX_PURGES)
            .map(|chunk| self.begin(OwnRecord::invalidation(chunk.into())))
            .collect();
        let mut outcome = Ok(self.sync.mirror.position());
        for append in appends {
            let appended = append.deliver().await;
            outcome = outcome.and(appended);
        }
        outcome
    }

    /// Queues the purges, without waiting for the journal.
    pub(super) fn queue(&self, purges: &[Purge]) {
        for chunk in purges.chunks(MAX_PURGES) {
            // An append that is dropped is queued.
            drop(self.begin(OwnRecord::invalidation(chunk.into())));
        }
    }

    /// Queues the purges that other programs have published, so that a slow journal does not delay
    /// reading the channel. They are not published again.
    pub(super) fn receive(&self, messages: &[Box<[u8]>]) {
        for chunk in self.pubsub.receive(messages).chunks(MAX_PURGES) {
            drop(self.begin(OwnRecord::invalidation(chunk.into()).without_publishing()));
        }
    }

    /// Begins an append: blocks the targets of the record until it has been applied.
    pub(super) fn begin(&self, record: OwnRecord) -> OwnAppend<'_> {
        let pending = record.clone();
        let mirror = &self.sync.mirror;
        OwnAppend {
            appender: self,
            id: mirror.change(|mirror| mirror.own_mut().begin(pending)),
            record,
            on_drop: OnDrop::Queue,
        }
    }

    /// Appends the queued records, the oldest first, until none is left.
    ///
    /// # Errors
    ///
    /// If the journal fails. The remaining records stay queued.
    pub(super) async fn deliver_queued(&self) -> Result<(), Error> {
        let next = || self.sync.mirror.read(|mirror| mirror.own.next_queued());
        while let Some((ids, record)) = next() {
            if self.send(&ids, &record, None, true).await?.is_none() {
                self.sync.sync().await?;
            }
        }
        Ok(())
    }

    /// Wakes the task that delivers the queue; without tasks, delivers it here.
    pub(super) fn wake(&self) {
        if self.tasks.get().is_some() {
            self.sync.wake_delivery.notify_one();
        } else {
            // An in-process journal answers at once.
            let _ = self.deliver_queued().now_or_never();
        }
    }

    /// Sends a record once and applies the reply. With `since`, the reply contains the records
    /// after that position and the open declarations. Returns `None` if the mirror must be synced
    /// first.
    async fn send(
        &self,
        ids: &[u64],
        record: &OwnRecord,
        since: Option<Position>,
        queued: bool,
    ) -> Result<Option<AppendReply>, Error> {
        let known = self.sync.mirror.position();
        let request = AppendRequest {
            known: since
                .filter(|since| since.epoch == known.epoch)
                .unwrap_or(known),
            kind: record.kind,
            purges: Arc::clone(&record.purges),
            with_open: since.is_some(),
            queued,
        };
        let reply = self.sync.journal.append(&request).await?;
        let now = self.sync.clock.mono();
        let applied = self.sync.mirror.change(|mirror| {
            let applied = mirror.apply_reply(known, (ids, record), &reply, now);
            if applied && record.published {
                // Before the lock is released: `flush` waits for the delivery first, then for the queue
                // of patterns.
                self.pubsub.publish(&record.purges);
            }
            applied
        });
        Ok(applied.then_some(reply))
    }
}

/// An own append. If it is dropped before its reply has been applied, it is queued, or forgotten if
/// it would be sent too late.
pub(super) struct OwnAppend<'a> {
    appender: &'a Appender,
    id: u64,
    record: OwnRecord,
    on_drop: OnDrop,
}

/// The action when an own append is dropped.
enum OnDrop {
    Queue,
    Forget,
    Nothing,
}

impl OwnAppend<'_> {
    pub(super) async fn deliver(self) -> Result<Position, Error> {
        let (reply, _) = self.deliver_since(None).await?;
        Ok(reply.position)
    }

    /// [`deliver`](Self::deliver) without another attempt after a failure, because a late declaration is
    /// useless.
    pub(super) async fn deliver_or_forget(mut self) -> Result<Position, Error> {
        self.on_drop = OnDrop::Forget;
        self.deliver().await
    }

    /// Returns the position if no other write of the entry can have been appended after `before`
    /// (rule 15).
    pub(super) async fn deliver_through(
        self,
        before: Position,
        entry: EntryNames<'_>,
    ) -> Result<Option<Position>, Error> {
        let (reply, attempts) = self.deliver_since(Some(before)).await?;
        let alone = attempts == 1
            && reply.floor <= before.n
            && reply.is_complete_since(before)
            && !names_entry(&reply, entry);
        Ok(alone.then_some(reply.position))
    }

    /// [`deliver`](Self::deliver) that tries again after each failure, until the time `until`. Tries at
    /// least once.
    pub(super) async fn deliver_by(mut self, until: Instant) -> Result<Position, Error> {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        loop {
            match self.try_deliver(None).await {
                Ok((reply, _)) => return Ok(reply.position),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(error) => tracing::debug!(%error, "an invalidation is appended again"),
            }
            // The loop ends with the error of the next attempt.
            let _ = timeout_at(until, backoff.wait()).await;
        }
    }

    /// Delivers the record. Returns the reply and the number of attempts.
    async fn deliver_since(mut self, since: Option<Position>) -> Result<(AppendReply, u32), Error> {
        self.try_deliver(since).await
    }

    /// Delivers the record. After an error, it can be called again.
    async fn try_deliver(&mut self, since: Option<Position>) -> Result<(AppendReply, u32), Error> {
        let ids = [self.id];
        for attempt in 1..=MAX_ATTEMPTS {
            let sent = self.appender.send(&ids, &self.record, since, false);
            if let Some(reply) = sent.await? {
                self.on_drop = OnDrop::Nothing;
                return Ok((reply, attempt));
            }
            self.appender.sync.sync().await?;
        }
        Err(Error::unavailable(
            "the journal has been reset or set back repeatedly",
        ))
    }
}

impl Drop for OwnAppend<'_> {
    fn drop(&mut self) {
        let change = match self.on_drop {
            OnDrop::Nothing => return,
            OnDrop::Queue => OwnAppends::queue,
            OnDrop::Forget => OwnAppends::forget,
        };
        let mirror = &self.appender.sync.mirror;
        mirror.change(|mirror| change(mirror.own_mut(), self.id));
        if matches!(self.on_drop, OnDrop::Queue) {
            self.appender.wake();
        }
    }
}

/// Whether a record or an open declaration in the reply names the entry.
fn names_entry(reply: &AppendReply, entry: EntryNames<'_>) -> bool {
    let records = reply.between.iter().map(|record| &record.purges);
    let declared = reply.open.iter().map(|open| &open.purges);
    let mut index = TargetIndex::default();
    for purge in records.chain(declared).flat_map(|purges| purges.iter()) {
        index.update(&purge.target, |named| named.hard = 1);
    }
    index.find(entry).hard > 0
}

/// Each new epoch costs an attempt. Epochs are rare: several during one append mean that the journal is
/// not stable.
const MAX_ATTEMPTS: u32 = 3;
