use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::Clock,
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            queue::{
                AttemptEnd, Claim, ClaimTerms, ClaimToken, Due, FirstWrite, NewWrite,
                PendingWrites, Pushed, Queue, QueueBounds, Retention, StoredStatus, Wakes,
            },
        },
        memory::queue::MemoryQueue,
    },
    write_queue::{QueueCounts, WriteId},
};

/// Called with the number of the `ask`, from 1 on.
type Hook = fn(Arc<MemoryQueue>, usize) -> BoxFuture<'static, ()>;

/// A queue in memory in which something happens after each `ask`, and that can be made unreachable.
pub(super) struct HookedQueue {
    pub(super) queue: Arc<MemoryQueue>,
    after_ask: Hook,
    /// How often `ask` and `requests` were called.
    pub(super) asks: AtomicUsize,
    pub(super) reads: AtomicUsize,
    is_away: AtomicBool,
}

impl HookedQueue {
    pub(super) fn new(after_ask: Hook) -> Arc<Self> {
        Arc::new(Self {
            queue: Arc::new(MemoryQueue::new(Arc::new(Clock::tokio()))),
            after_ask,
            asks: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            is_away: AtomicBool::new(false),
        })
    }

    pub(super) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn reach(&self) -> Result<(), Error> {
        match self.is_away.load(Ordering::SeqCst) {
            true => Err(Error::unavailable("the queue is away")),
            false => Ok(()),
        }
    }
}

impl std::fmt::Debug for HookedQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.queue.fmt(f)
    }
}

impl Queue for HookedQueue {
    fn partitions(&self) -> u8 {
        self.queue.partitions()
    }

    fn partition_of(&self, key: &str) -> u8 {
        self.queue.partition_of(key)
    }

    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed> {
        self.queue.push(write, bounds)
    }

    fn due(&self, partition: u8, count: usize) -> StoreFuture<'_, Due> {
        self.queue.due(partition, count)
    }

    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim> {
        self.queue.claim(first, terms)
    }

    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool> {
        self.queue.renew(claim, lease)
    }

    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool> {
        self.queue.end(claim, end, retention)
    }

    fn ask<'a>(&'a self, key: &'a str) -> StoreFuture<'a, PendingWrites> {
        Box::pin(async move {
            self.reach()?;
            let pending = self.queue.ask(key).await;
            let number = self.asks.fetch_add(1, Ordering::SeqCst) + 1;
            (self.after_ask)(Arc::clone(&self.queue), number).await;
            pending
        })
    }

    fn requests<'a>(
        &'a self,
        key: &'a str,
        ids: &'a [WriteId],
    ) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.queue.requests(key, ids)
    }

    fn status(&self, id: WriteId) -> StoreFuture<'_, Option<StoredStatus>> {
        self.queue.status(id)
    }

    fn dead_letters(&self, skip: usize, count: usize) -> StoreFuture<'_, Vec<WriteId>> {
        self.queue.dead_letters(skip, count)
    }

    fn retry(&self, id: WriteId) -> StoreFuture<'_, bool> {
        self.queue.retry(id)
    }

    fn delete(&self, id: WriteId) -> StoreFuture<'_, bool> {
        self.queue.delete(id)
    }

    fn set_paused(&self, paused: bool) -> StoreFuture<'_, ()> {
        self.queue.set_paused(paused)
    }

    fn counts(&self) -> StoreFuture<'_, QueueCounts> {
        self.queue.counts()
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        self.queue.wakes()
    }
}
