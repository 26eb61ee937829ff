//! One write of the queue.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    clock::{Now, Timestamp, nanos},
    store::contracts::queue::{ClaimTerms, Coalescing, Idempotency, NewWrite, record_size},
};

/// A write that has not ended, or the content of a dead letter.
#[derive(Clone, Debug)]
pub(super) struct QueuedWrite {
    pub(super) key: Arc<str>,
    pub(super) user: Option<Box<str>>,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) coalescing: Coalescing,
    pub(super) request: Bytes,
    pub(super) seq: u64,
    pub(super) accepted: Timestamp,
    pub(super) attempts: u32,
    /// The monotonic time of the first hand-out.
    first_attempt: Option<u64>,
    /// Why the last attempt failed.
    pub(super) reason: Option<Box<str>>,
}

impl QueuedWrite {
    pub(super) fn new(write: &NewWrite, seq: u64, now: Now) -> Self {
        Self {
            key: write.key.as_ref().into(),
            user: write.user.clone(),
            idempotency: write.idempotency,
            coalescing: write.coalescing,
            request: write.request.clone(),
            seq,
            accepted: now.wall,
            attempts: 0,
            first_attempt: None,
            reason: None,
        }
    }

    /// Counts an attempt. Returns true, and counts none, if the write may not be tried any more.
    pub(super) fn is_spent_or_count(&mut self, terms: &ClaimTerms, now: Now) -> bool {
        let age = now
            .mono
            .saturating_sub(self.first_attempt.unwrap_or(now.mono));
        if self.attempts >= terms.attempts || age > nanos(terms.max_age) {
            return true;
        }
        self.attempts += 1;
        self.first_attempt.get_or_insert(now.mono);
        false
    }

    /// Takes the last attempt back.
    pub(super) fn uncount(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
        if self.attempts == 0 {
            self.first_attempt = None;
        }
    }

    /// The write as a new one: a person has decided that it is tried again.
    pub(super) fn begin_again(&mut self, now: Now) {
        self.accepted = now.wall;
        self.attempts = 0;
        self.first_attempt = None;
    }

    pub(super) fn size(&self) -> u64 {
        record_size(&[
            self.key.len(),
            self.user.as_ref().map_or(0, |user| user.len()),
            self.request.len(),
        ])
    }
}

/// The monotonic time after `span`.
pub(super) fn after(now: Now, span: Duration) -> u64 {
    now.mono.saturating_add(nanos(span))
}
