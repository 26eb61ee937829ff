//! The write-behind queue: writes that were accepted, applied later one at a time per key and in order.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::StoreFuture;
use crate::{
    clock::Timestamp,
    store::position::Position,
    write_queue::{Durability, QueueCounts, WriteId, WriteState},
};

/// A queue of writes. Every method is one atomic step in the store.
///
/// A key belongs to one partition, and the id of a write names the partition of its key. Times are the
/// store's. Bytes of requests and answers are opaque here.
pub(crate) trait Queue: fmt::Debug + Send + Sync {
    /// How many partitions there are, from 0 on.
    fn partitions(&self) -> u8;

    /// The partition of a key.
    fn partition_of(&self, key: &str) -> u8;

    /// Accepts a write, at the end of its key's list.
    ///
    /// If its id or idempotency scope is known, nothing changes, and the earlier write is returned: a
    /// push can be repeated.
    ///
    /// # Errors
    ///
    /// If nothing is known about the result, or the asked durability was not confirmed: the write may
    /// have been accepted, and a repeated push finds it.
    ///
    /// # Cancel safety
    ///
    /// The write may or may not have been accepted.
    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed>;

    /// The keys whose first write is due, or whose lease has run out, longest due first; at most
    /// `count`. Changes nothing.
    fn due(&self, partition: u8, count: usize) -> StoreFuture<'_, Due>;

    /// Hands out the first write of a key, if it still is the first, due, and nobody else's. Repeated
    /// with the same token, it answers the same. Counts an attempt.
    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim>;

    /// Extends a lease; false if it is no longer held.
    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool>;

    /// Ends an attempt; false if its lease is no longer held, and then nothing changes. Repeated after
    /// its reply was lost, it may answer false.
    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool>;

    /// The writes of a key that have not ended, oldest first.
    fn ask<'a>(&'a self, key: &'a str) -> StoreFuture<'a, PendingWrites>;

    /// The requests of writes of one key that have not ended; `None` for those that have.
    fn requests<'a>(
        &'a self,
        key: &'a str,
        ids: &'a [WriteId],
    ) -> StoreFuture<'a, Vec<Option<Bytes>>>;

    /// What is known about a write; `None` if it never was, or is no longer.
    fn status(&self, id: WriteId) -> StoreFuture<'_, Option<StoredStatus>>;

    /// Dead letters, latest first; `skip` of them are left out.
    fn dead_letters(&self, skip: usize, count: usize) -> StoreFuture<'_, Vec<WriteId>>;

    /// Accepts a dead letter again, with the same id: at the end of its key's list, or if it holds its
    /// key, at the front. False if there is no such dead letter.
    fn retry(&self, id: WriteId) -> StoreFuture<'_, bool>;

    /// Removes a dead letter, and releases its key if it holds it. False if there is none.
    fn delete(&self, id: WriteId) -> StoreFuture<'_, bool>;

    /// Stops or continues to hand out writes.
    fn set_paused(&self, paused: bool) -> StoreFuture<'_, ()>;

    fn counts(&self) -> StoreFuture<'_, QueueCounts>;

    /// Whether the store can keep the promise, and whether it may evict the queue.
    ///
    /// # Errors
    ///
    /// Says what the server lacks and what to write instead.
    fn check(&self, _durability: Durability) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Starts listening for writes that become due.
    fn wakes(&self) -> Box<dyn Wakes>;
}

/// Tells workers that writes may have become due.
pub(crate) trait Wakes: fmt::Debug + Send {
    /// Waits until a write was accepted, or a key was released, anywhere; or for a while: a missed
    /// message delays a write, but does not lose it.
    ///
    /// # Cancel safety
    ///
    /// The next call returns at once if something was missed.
    fn next(&mut self) -> futures_util::future::BoxFuture<'_, ()>;
}

/// A write to accept.
#[derive(Clone, Debug)]
pub(crate) struct NewWrite {
    pub(crate) id: WriteId,
    pub(crate) key: Box<str>,
    /// Who may see its status.
    pub(crate) user: Option<Box<str>>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) coalescing: Coalescing,
    /// The encoded request.
    pub(crate) request: Bytes,
}

/// The use of an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Idempotency {
    /// A hash of user, method, path and idempotency key.
    pub(crate) scope: [u8; 16],
    /// A hash of the content.
    pub(crate) fingerprint: [u8; 16],
}

/// Whether a write takes the place of the last waiting one of its key.
///
/// The first half of the hash is that of the user and the resource, the second that of the content's media
/// type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Coalescing {
    /// It neither takes a place nor gives up its own.
    #[default]
    Never,
    /// An unconditional PUT: it may take the place of an earlier PUT with the same hash, and may give up
    /// its own.
    Put([u8; 16]),
    /// A DELETE, which may take the place of a PUT with the same first half, since it has no content, but
    /// never gives up its own.
    Delete([u8; 16]),
}

impl Coalescing {
    /// Whether a write takes the place of an earlier one.
    pub(in crate::store) fn replaces(self, earlier: Self) -> bool {
        match (self, earlier) {
            (Self::Put(hash), Self::Put(other)) => hash == other,
            (Self::Delete(hash), Self::Put(other)) => hash[..8] == other[..8],
            _ => false,
        }
    }
}

/// The bounds of the queue. In a Cluster each partition has its share of the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueBounds {
    /// Writes that have not ended.
    pub(crate) max_queue: u64,
    /// Bytes of requests, answers and dead letters, with what each record takes beside them. Results of
    /// ended writes are removed before their time if a new write needs their room.
    pub(crate) max_bytes: u64,
    /// Writes of one key that have not ended.
    pub(crate) max_per_key: u64,
    /// How long an idempotency key and an answer are kept after the end of a superseded write.
    pub(crate) retention: Retention,
    /// What must have happened before a write counts as accepted.
    pub(crate) durability: Durability,
}

/// The result of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// The write was accepted; the one that it superseded, if any.
    Accepted(Option<WriteId>),
    /// This id, or this idempotency scope with the same fingerprint, was accepted earlier.
    Known(WriteId, WriteState),
    /// The idempotency scope is in use with another fingerprint.
    OtherContent,
    /// There is no room.
    Full(Bound),
}

/// The bound that a push would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Writes,
    Bytes,
    PerKey,
}

/// The reply to [`Queue::due`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) first: Vec<FirstWrite>,
    /// The time until the next one becomes due; `None` if there is none.
    pub(crate) next: Option<Duration>,
}

/// The first write of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstWrite {
    pub(crate) key: Box<str>,
    pub(crate) id: WriteId,
}

/// The terms of a claim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimTerms {
    /// Random, chosen by the worker.
    pub(crate) token: u64,
    pub(crate) lease: Duration,
    /// A write that was handed out so often is handed out only to be buried.
    pub(crate) attempts: u32,
    /// Likewise one that was handed out first so long ago.
    pub(crate) max_age: Duration,
}

/// The reply to [`Queue::claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is paused, not due, no longer the first, or another worker's.
    Nothing,
    /// The record of the write was missing: it was taken off the list, and counted.
    Lost,
    Claimed(ClaimedWrite),
}

/// A write that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimedWrite {
    pub(crate) token: ClaimToken,
    /// Greater than that of any earlier write of the key.
    pub(crate) seq: u64,
    /// This attempt's number, from 1 on.
    pub(crate) attempt: u32,
    pub(crate) accepted: Timestamp,
    /// Its attempts or its age are used up: it must be ended without a call of the service.
    pub(crate) is_spent: bool,
    pub(crate) request: Bytes,
}

/// Names an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimToken {
    pub(crate) key: Box<str>,
    pub(crate) id: WriteId,
    pub(crate) token: u64,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub(crate) struct AttemptEnd {
    pub(crate) outcome: AttemptOutcome,
    /// The position of the attempt's invalidation in the journal.
    pub(crate) position: Position,
    /// Why it failed.
    pub(crate) reason: Option<Box<str>>,
    /// The encoded response.
    pub(crate) answer: Option<Bytes>,
}

/// What becomes of a write after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptOutcome {
    Done,
    /// It becomes a dead letter. With `hold`, its key stops.
    Dead {
        hold: bool,
    },
    /// It is tried again after this time.
    Again(Duration),
    /// It is due at once, and the attempt does not count.
    Back,
}

/// How long what has ended is kept. A result is kept for at least [`MIN_RESULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Status and answer.
    pub(crate) result: Duration,
    /// The idempotency key.
    pub(crate) idempotency: Duration,
    /// Dead letters: how many, how many bytes, how long.
    pub(crate) max_dead: u64,
    pub(crate) max_dead_bytes: u64,
    pub(crate) dead_age: Duration,
}

/// The reply to [`Queue::ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingWrites {
    /// Oldest first.
    pub(crate) ids: Vec<WriteId>,
    /// The position of the key's last ended attempt, if that was in the last minute: an earlier base
    /// may lack what it changed. [`Position::UNKNOWN`] if there is none.
    pub(crate) last_end: Position,
}

/// The reply to [`Queue::status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredStatus {
    pub(crate) state: WriteState,
    pub(crate) key: Box<str>,
    pub(crate) user: Option<Box<str>>,
    pub(crate) accepted: Timestamp,
    pub(crate) attempts: u32,
    /// When the next attempt is due.
    pub(crate) next_attempt: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) reason: Option<Box<str>>,
    pub(crate) answer: Option<Bytes>,
    /// The encoded request, of writes that have not ended and of dead letters.
    pub(crate) request: Option<Bytes>,
}

/// The bytes that a record counts, of texts with these lengths.
pub(in crate::store) fn record_size(lengths: &[usize]) -> u64 {
    let texts = lengths
        .iter()
        .map(|length| u64::try_from(*length).unwrap_or(u64::MAX));
    texts.fold(RECORD_OVERHEAD, u64::saturating_add)
}

/// The bytes that a new write counts.
pub(in crate::store) fn new_write_size(write: &NewWrite) -> u64 {
    let user = write.user.as_ref().map_or(0, |user| user.len());
    record_size(&[write.key.len(), user, write.request.len()])
}

/// What a record takes beside its texts.
pub(in crate::store) const RECORD_OVERHEAD: u64 = 256;

/// What the idempotency key of an ended write takes.
pub(in crate::store) const SCOPE_SIZE: u64 = 128;

/// How long the position of a key's last ended attempt is kept.
pub(in crate::store) const LAST_END: Duration = Duration::from_secs(60);

/// How long a result is kept at least, so that a push that is repeated after a lost reply finds it.
pub(in crate::store) const MIN_RESULT: Duration = Duration::from_secs(10);

#[cfg(test)]
pub(crate) mod forwarding;
#[cfg(test)]
pub(in crate::store) mod suite;
