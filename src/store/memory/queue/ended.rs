//! Writes that have ended: their results, idempotency keys and dead letters.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    expiries::{Expiries, Expiring},
    write::{QueuedWrite, after},
};
use crate::{
    clock::{Now, Timestamp, nanos},
    store::{
        contracts::queue::{
            AttemptEnd, Idempotency, LAST_END, MIN_RESULT, Retention, SCOPE_SIZE, StoredStatus,
            record_size,
        },
        position::Position,
    },
    write_queue::{WriteId, WriteState},
};

#[derive(Debug, Default)]
pub(super) struct EndedWrites {
    results: HashMap<WriteId, EndedWrite>,
    results_by_expiry: BTreeSet<(u64, WriteId)>,
    scopes: HashMap<[u8; 16], EndedScope>,
    letters: HashMap<WriteId, Letter>,
    letters_in_order: BTreeSet<(u64, WriteId)>,
    last_ends: HashMap<Arc<str>, (Position, u64)>,
    expiries: Expiries,
    /// Of results and idempotency keys.
    bytes: u64,
    dead_bytes: u64,
}

/// The result of a write. Times but the first two are monotonic.
#[derive(Clone, Debug)]
pub(super) struct EndedWrite {
    accepted: Timestamp,
    ended: Timestamp,
    ended_mono: u64,
    expires: u64,
    state: WriteState,
    key: Arc<str>,
    user: Option<Box<str>>,
    attempts: u32,
    reason: Option<Box<str>>,
    answer: Option<Bytes>,
}

#[derive(Debug)]
struct EndedScope {
    id: WriteId,
    fingerprint: [u8; 16],
    state: WriteState,
    expires: u64,
}

/// A dead letter.
#[derive(Debug)]
struct Letter {
    write: QueuedWrite,
    result: EndedWrite,
    /// Greater than that of every earlier one.
    order: u64,
    expires: u64,
}

impl EndedWrite {
    pub(super) fn new(
        write: &QueuedWrite,
        state: WriteState,
        end: Option<&AttemptEnd>,
        kept: Duration,
        now: Now,
    ) -> Self {
        // A result that is not to be kept only recognises a repeated push.
        let end = end.filter(|_| kept >= MIN_RESULT || state == WriteState::Dead);
        Self {
            accepted: write.accepted,
            ended: now.wall,
            ended_mono: now.mono,
            expires: after(now, kept.max(MIN_RESULT)),
            state,
            key: Arc::clone(&write.key),
            user: write.user.clone(),
            attempts: write.attempts,
            reason: end.and_then(|end| end.reason.clone()),
            answer: end.and_then(|end| end.answer.clone()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        record_size(&[
            self.key.len(),
            self.user.as_ref().map_or(0, |user| user.len()),
            self.reason.as_ref().map_or(0, |reason| reason.len()),
            self.answer.as_ref().map_or(0, Bytes::len),
        ])
    }

    fn status(&self, request: Option<Bytes>) -> StoredStatus {
        StoredStatus {
            state: self.state,
            key: self.key.as_ref().into(),
            user: self.user.clone(),
            accepted: self.accepted,
            attempts: self.attempts,
            next_attempt: None,
            ended: Some(self.ended),
            reason: self.reason.clone(),
            answer: self.answer.clone(),
            request,
        }
    }
}

impl Letter {
    fn size(&self) -> u64 {
        let request = u64::try_from(self.write.request.len()).unwrap_or(u64::MAX);
        self.result.size().saturating_add(request)
    }
}

impl EndedWrites {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.saturating_add(self.dead_bytes)
    }

    pub(super) fn dead(&self) -> usize {
        self.letters.len()
    }

    pub(super) fn latest_dead(&self) -> impl Iterator<Item = WriteId> {
        self.letters_in_order.iter().rev().map(|(_, id)| *id)
    }

    pub(super) fn state_of(&self, id: WriteId) -> Option<WriteState> {
        if self.letters.contains_key(&id) {
            return Some(WriteState::Dead);
        }
        self.results.get(&id).map(|result| result.state)
    }

    pub(super) fn status(&self, id: WriteId) -> Option<StoredStatus> {
        if let Some(letter) = self.letters.get(&id) {
            return Some(letter.result.status(Some(letter.write.request.clone())));
        }
        self.results.get(&id).map(|result| result.status(None))
    }

    pub(super) fn by_scope(&self, scope: &[u8; 16]) -> Option<(WriteId, [u8; 16], WriteState)> {
        let found = self.scopes.get(scope)?;
        Some((found.id, found.fingerprint, found.state))
    }

    pub(super) fn last_end(&self, key: &str) -> Position {
        let last = self.last_ends.get(key);
        last.map_or(Position::UNKNOWN, |(position, _)| *position)
    }

    pub(super) fn keep_result(&mut self, id: WriteId, result: EndedWrite) {
        self.bytes += result.size();
        self.results_by_expiry.insert((result.expires, id));
        self.expiries.add(result.expires, Expiring::Result(id));
        self.results.insert(id, result);
    }

    pub(super) fn keep_scope(
        &mut self,
        idempotency: Idempotency,
        id: WriteId,
        state: WriteState,
        kept: Duration,
        now: Now,
    ) {
        if kept.is_zero() {
            return;
        }
        self.remove_scope(&idempotency.scope);
        let expires = after(now, kept);
        let scope = EndedScope {
            id,
            fingerprint: idempotency.fingerprint,
            state,
            expires,
        };
        self.bytes += SCOPE_SIZE;
        self.expiries
            .add(expires, Expiring::Scope(idempotency.scope));
        self.scopes.insert(idempotency.scope, scope);
    }

    pub(super) fn keep_last_end(&mut self, key: &Arc<str>, position: Position, now: Now) {
        if !position.is_known() {
            return;
        }
        let expires = after(now, LAST_END);
        let last = (position, expires);
        if let Some((_, earlier)) = self.last_ends.insert(Arc::clone(key), last) {
            let expiring = Expiring::LastEnd(Arc::clone(key));
            self.expiries.remove(earlier, expiring);
        }
        let expiring = Expiring::LastEnd(Arc::clone(key));
        self.expiries.add(expires, expiring);
    }

    /// Adds a dead letter. Returns those that were removed for it, with their keys.
    pub(super) fn bury(
        &mut self,
        id: WriteId,
        write: QueuedWrite,
        result: EndedWrite,
        order: u64,
        retention: &Retention,
        now: Now,
    ) -> Vec<(WriteId, Arc<str>)> {
        let expires = after(now, retention.dead_age);
        let letter = Letter {
            write,
            result,
            order,
            expires,
        };
        self.dead_bytes += letter.size();
        self.letters_in_order.insert((order, id));
        self.expiries.add(expires, Expiring::DeadLetter(id));
        self.letters.insert(id, letter);
        let mut gone = Vec::new();
        while self.exceeds(retention) {
            let Some((_, oldest)) = self.letters_in_order.first().copied() else {
                break;
            };
            gone.extend(self.remove_letter(oldest));
        }
        gone
    }

    fn exceeds(&self, retention: &Retention) -> bool {
        let count = u64::try_from(self.letters.len()).unwrap_or(u64::MAX);
        count > retention.max_dead || self.dead_bytes > retention.max_dead_bytes
    }

    /// Removes a dead letter. Its status is kept for its time.
    pub(super) fn remove_letter(&mut self, id: WriteId) -> Option<(WriteId, Arc<str>)> {
        let letter = self.unlink_letter(id)?;
        let key = Arc::clone(&letter.write.key);
        self.keep_result(id, letter.result);
        Some((id, key))
    }

    /// Removes a dead letter that is retried.
    pub(super) fn take_letter(&mut self, id: WriteId) -> Option<QueuedWrite> {
        let letter = self.unlink_letter(id)?;
        let scope = letter
            .write
            .idempotency
            .map(|idempotency| idempotency.scope);
        if let Some(scope) = scope
            && self.scopes.get(&scope).is_some_and(|ended| ended.id == id)
        {
            self.remove_scope(&scope);
        }
        let mut write = letter.write;
        write.reason = letter.result.reason;
        Some(write)
    }

    fn unlink_letter(&mut self, id: WriteId) -> Option<Letter> {
        let letter = self.letters.remove(&id)?;
        self.dead_bytes = self.dead_bytes.saturating_sub(letter.size());
        self.letters_in_order.remove(&(letter.order, id));
        let expiring = Expiring::DeadLetter(id);
        self.expiries.remove(letter.expires, expiring);
        Some(letter)
    }

    /// Removes the result that would expire first, if it is no longer needed to recognise a repeated
    /// push.
    pub(super) fn drop_oldest_result(&mut self, now: Now) -> bool {
        let Some((_, id)) = self.results_by_expiry.first().copied() else {
            return false;
        };
        let ended = self.results.get(&id).map_or(0, |result| result.ended_mono);
        if now.mono.saturating_sub(ended) < nanos(MIN_RESULT) {
            return false;
        }
        self.remove_result(id);
        true
    }

    fn remove_result(&mut self, id: WriteId) {
        if let Some(result) = self.results.remove(&id) {
            self.bytes = self.bytes.saturating_sub(result.size());
            self.results_by_expiry.remove(&(result.expires, id));
            self.expiries.remove(result.expires, Expiring::Result(id));
        }
    }

    fn remove_scope(&mut self, scope: &[u8; 16]) {
        if let Some(ended) = self.scopes.remove(scope) {
            self.bytes = self.bytes.saturating_sub(SCOPE_SIZE);
            self.expiries.remove(ended.expires, Expiring::Scope(*scope));
        }
    }

    /// Removes what has expired. Returns the dead letters among it, with their keys.
    pub(super) fn remove_expired(&mut self, now: u64) -> Vec<(WriteId, Arc<str>)> {
        let mut gone = Vec::new();
        while let Some(expiring) = self.expiries.pop(now) {
            match expiring {
                Expiring::Result(id) => self.remove_result(id),
                Expiring::Scope(scope) => self.remove_scope(&scope),
                Expiring::LastEnd(key) => {
                    self.last_ends.remove(&key);
                }
                Expiring::DeadLetter(id) => gone.extend(self.remove_letter(id)),
            }
        }
        gone
    }
}
