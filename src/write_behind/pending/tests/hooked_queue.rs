use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::Clock,
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            queue::{PendingWrites, Queue, forwarding::ForwardingQueue},
        },
        memory::queue::MemoryQueue,
    },
    write_queue::WriteId,
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

impl ForwardingQueue for HookedQueue {
    fn inner(&self) -> &dyn Queue {
        &*self.queue
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
}
