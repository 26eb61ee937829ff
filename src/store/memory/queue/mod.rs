//! The write-behind queue in one process. Its writes are lost with the process.

mod ended;
mod expiries;
mod hand_out;
mod keys;
mod manage;
mod push;
mod read;
mod state;
mod write;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::{sync::watch, time::timeout};

use self::state::QueueState;
use crate::{
    clock::{Clock, Now},
    error::ignore_poison,
    store::contracts::{
        StoreFuture,
        queue::{
            AttemptEnd, Claim, ClaimTerms, ClaimToken, Due, FirstWrite, NewWrite, PendingWrites,
            Pushed, Queue, QueueBounds, Retention, StoredStatus, Wakes,
        },
    },
    write_queue::{QueueCounts, WriteId},
};

/// A queue with one partition, under one lock.
#[derive(Debug)]
pub(crate) struct MemoryQueue {
    clock: Arc<Clock>,
    state: Mutex<QueueState>,
    wakes: watch::Sender<()>,
}

impl MemoryQueue {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            wakes: watch::Sender::new(()),
        }
    }

    /// Runs one atomic step, then wakes workers if it made a write due.
    fn step<T>(&self, step: impl FnOnce(&mut QueueState, Now) -> T) -> T {
        let (result, is_due) = {
            let mut state = ignore_poison(self.state.lock());
            let now = self.clock.now();
            state.remove_expired(now);
            let result = step(&mut state, now);
            (result, state.take_due())
        };
        if is_due {
            self.wakes.send_replace(());
        }
        result
    }

    fn reply<'a, T: Send + 'a>(
        &'a self,
        step: impl FnOnce(&mut QueueState, Now) -> T + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move { Ok(self.step(step)) })
    }
}

impl Queue for MemoryQueue {
    fn partitions(&self) -> u8 {
        1
    }

    fn partition_of(&self, _key: &str) -> u8 {
        0
    }

    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed> {
        self.reply(|state, now| state.push(write, bounds, now))
    }

    fn due(&self, _partition: u8, count: usize) -> StoreFuture<'_, Due> {
        self.reply(move |state, now| state.due(count, now))
    }

    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim> {
        self.reply(|state, now| state.claim(first, terms, now))
    }

    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool> {
        self.reply(move |state, now| state.renew(claim, lease, now))
    }

    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool> {
        self.reply(|state, now| state.end(claim, end, retention, now))
    }

    fn ask<'a>(&'a self, key: &'a str) -> StoreFuture<'a, PendingWrites> {
        self.reply(|state, _| state.pending(key))
    }

    fn requests<'a>(
        &'a self,
        _key: &'a str,
        ids: &'a [WriteId],
    ) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.reply(|state, _| state.requests(ids))
    }

    fn status(&self, id: WriteId) -> StoreFuture<'_, Option<StoredStatus>> {
        self.reply(move |state, now| state.status(id, now))
    }

    fn dead_letters(&self, skip: usize, count: usize) -> StoreFuture<'_, Vec<WriteId>> {
        self.reply(move |state, _| state.dead_letters(skip, count))
    }

    fn retry(&self, id: WriteId) -> StoreFuture<'_, bool> {
        self.reply(move |state, now| state.retry(id, now))
    }

    fn delete(&self, id: WriteId) -> StoreFuture<'_, bool> {
        self.reply(move |state, now| state.delete(id, now))
    }

    fn set_paused(&self, paused: bool) -> StoreFuture<'_, ()> {
        self.reply(move |state, _| state.set_paused(paused))
    }

    fn counts(&self) -> StoreFuture<'_, QueueCounts> {
        self.reply(|state, now| state.counts(now))
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        Box::new(MemoryWakes(self.wakes.subscribe()))
    }
}

#[derive(Debug)]
struct MemoryWakes(watch::Receiver<()>);

impl Wakes for MemoryWakes {
    fn next(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The sender is gone with the queue: then there is nothing to wait for but the time.
            if let Ok(Err(_)) = timeout(LONGEST_WAIT, self.0.changed()).await {
                tokio::time::sleep(LONGEST_WAIT).await;
            }
        })
    }
}

/// How long a worker waits for a write.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
