//! What the queue holds, and the steps that its verbs share.

use std::{collections::HashMap, sync::Arc};

use super::{
    ended::{EndedWrite, EndedWrites},
    keys::{KeyPhase, Keys},
    write::QueuedWrite,
};
use crate::{
    clock::Now,
    store::contracts::queue::{AttemptEnd, Retention},
    write_queue::{WriteId, WriteState},
};

#[derive(Debug, Default)]
pub(super) struct QueueState {
    pub(super) writes: HashMap<WriteId, QueuedWrite>,
    /// The writes that have not ended, by the scope of their idempotency key.
    pub(super) scopes: HashMap<[u8; 16], WriteId>,
    pub(super) keys: Keys,
    pub(super) ended: EndedWrites,
    /// Of the writes that have not ended.
    pub(super) bytes: u64,
    pub(super) is_paused: bool,
    last_seq: u64,
    /// Whether a write became due in this step.
    is_due: bool,
}

impl QueueState {
    /// A number greater than every earlier one, also than those of an earlier process.
    pub(super) fn next_seq(&mut self, now: Now) -> u64 {
        let micros = now.wall.0.saturating_mul(1000);
        self.last_seq = micros.max(self.last_seq.saturating_add(1));
        self.last_seq
    }

    pub(super) fn insert(&mut self, id: WriteId, write: QueuedWrite) {
        self.bytes += write.size();
        if let Some(idempotency) = write.idempotency {
            self.scopes.entry(idempotency.scope).or_insert(id);
        }
        self.writes.insert(id, write);
    }

    /// Removes a write that ends; its id is no longer in the list of its key.
    pub(super) fn remove(&mut self, id: WriteId) -> Option<QueuedWrite> {
        let write = self.writes.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(write.size());
        if let Some(idempotency) = write.idempotency
            && self.scopes.get(&idempotency.scope) == Some(&id)
        {
            self.scopes.remove(&idempotency.scope);
        }
        Some(write)
    }

    /// Keeps the status and the idempotency key of a write that has ended.
    pub(super) fn keep_ended(
        &mut self,
        id: WriteId,
        write: QueuedWrite,
        state: WriteState,
        end: Option<&AttemptEnd>,
        retention: &Retention,
        now: Now,
    ) {
        if let Some(idempotency) = write.idempotency {
            self.ended
                .keep_scope(idempotency, id, state, retention.idempotency, now);
        }
        let result = EndedWrite::new(&write, state, end, retention.result, now);
        if state == WriteState::Dead {
            let order = self.next_seq(now);
            let released = self.ended.bury(id, write, result, order, retention, now);
            self.release_held(released, now);
        } else {
            self.ended.keep_result(id, result);
        }
    }

    /// Releases the keys that dead letters hold which are gone.
    pub(super) fn release_held(&mut self, gone: Vec<(WriteId, Arc<str>)>, now: Now) {
        for (id, key) in gone {
            let phase = self.keys.get(&key).map(|writes| writes.phase());
            if matches!(phase, Some(KeyPhase::Held(holder)) if holder == id) {
                self.release(&key, now.mono);
            }
        }
    }

    /// Lets the next write of the key be handed out from `due` on.
    pub(super) fn release(&mut self, key: &Arc<str>, due: u64) {
        self.is_due |= self.keys.release(key, due);
    }

    pub(super) fn note_due(&mut self) {
        self.is_due = true;
    }

    pub(super) fn take_due(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }

    pub(super) fn remove_expired(&mut self, now: Now) {
        let gone = self.ended.remove_expired(now.mono);
        self.release_held(gone, now);
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.ended.bytes())
    }
}
