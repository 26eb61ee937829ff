//! The queues of tests that change some calls of another queue.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::{
    AttemptEnd, Claim, ClaimTerms, ClaimToken, Due, FirstWrite, NewWrite, PendingWrites, Pushed,
    Queue, QueueBounds, Retention, StoredStatus, Wakes,
};
use crate::{
    store::contracts::StoreFuture,
    write_queue::{QueueCounts, WriteId},
};

/// A queue that passes every call on to another one, unless it overrides the method.
pub(crate) trait ForwardingQueue: fmt::Debug + Send + Sync {
    fn inner(&self) -> &dyn Queue;

    fn partitions(&self) -> u8 {
        self.inner().partitions()
    }

    fn partition_of(&self, key: &str) -> u8 {
        self.inner().partition_of(key)
    }

    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed> {
        self.inner().push(write, bounds)
    }

    fn due(&self, partition: u8, count: usize) -> StoreFuture<'_, Due> {
        self.inner().due(partition, count)
    }

    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim> {
        self.inner().claim(first, terms)
    }

    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool> {
        self.inner().renew(claim, lease)
    }

    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool> {
        self.inner().end(claim, end, retention)
    }

    fn ask<'a>(&'a self, key: &'a str) -> StoreFuture<'a, PendingWrites> {
        self.inner().ask(key)
    }

    fn requests<'a>(
        &'a self,
        key: &'a str,
        ids: &'a [WriteId],
    ) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        self.inner().requests(key, ids)
    }

    fn status(&self, id: WriteId) -> StoreFuture<'_, Option<StoredStatus>> {
        self.inner().status(id)
    }

    fn dead_letters(&self, skip: usize, count: usize) -> StoreFuture<'_, Vec<WriteId>> {
        self.inner().dead_letters(skip, count)
    }

    fn retry(&self, id: WriteId) -> StoreFuture<'_, bool> {
        self.inner().retry(id)
    }

    fn delete(&self, id: WriteId) -> StoreFuture<'_, bool> {
        self.inner().delete(id)
    }

    fn set_paused(&self, paused: bool) -> StoreFuture<'_, ()> {
        self.inner().set_paused(paused)
    }

    fn counts(&self) -> StoreFuture<'_, QueueCounts> {
        self.inner().counts()
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        self.inner().wakes()
    }
}

impl<T: ForwardingQueue> Queue for T {
    fn partitions(&self) -> u8 {
        ForwardingQueue::partitions(self)
    }

    fn partition_of(&self, key: &str) -> u8 {
        ForwardingQueue::partition_of(self, key)
    }

    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed> {
        ForwardingQueue::push(self, write, bounds)
    }

    fn due(&self, partition: u8, count: usize) -> StoreFuture<'_, Due> {
        ForwardingQueue::due(self, partition, count)
    }

    fn claim<'a>(&'a self, first: &'a FirstWrite, terms: &'a ClaimTerms) -> StoreFuture<'a, Claim> {
        ForwardingQueue::claim(self, first, terms)
    }

    fn renew<'a>(&'a self, claim: &'a ClaimToken, lease: Duration) -> StoreFuture<'a, bool> {
        ForwardingQueue::renew(self, claim, lease)
    }

    fn end<'a>(
        &'a self,
        claim: &'a ClaimToken,
        end: &'a AttemptEnd,
        retention: &'a Retention,
    ) -> StoreFuture<'a, bool> {
        ForwardingQueue::end(self, claim, end, retention)
    }

    fn ask<'a>(&'a self, key: &'a str) -> StoreFuture<'a, PendingWrites> {
        ForwardingQueue::ask(self, key)
    }

    fn requests<'a>(
        &'a self,
        key: &'a str,
        ids: &'a [WriteId],
    ) -> StoreFuture<'a, Vec<Option<Bytes>>> {
        ForwardingQueue::requests(self, key, ids)
    }

    fn status(&self, id: WriteId) -> StoreFuture<'_, Option<StoredStatus>> {
        ForwardingQueue::status(self, id)
    }

    fn dead_letters(&self, skip: usize, count: usize) -> StoreFuture<'_, Vec<WriteId>> {
        ForwardingQueue::dead_letters(self, skip, count)
    }

    fn retry(&self, id: WriteId) -> StoreFuture<'_, bool> {
        ForwardingQueue::retry(self, id)
    }

    fn delete(&self, id: WriteId) -> StoreFuture<'_, bool> {
        ForwardingQueue::delete(self, id)
    }

    fn set_paused(&self, paused: bool) -> StoreFuture<'_, ()> {
        ForwardingQueue::set_paused(self, paused)
    }

    fn counts(&self) -> StoreFuture<'_, QueueCounts> {
        ForwardingQueue::counts(self)
    }

    fn wakes(&self) -> Box<dyn Wakes> {
        ForwardingQueue::wakes(self)
    }
}
