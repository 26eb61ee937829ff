//! Accepts writes.

use std::sync::Arc;

use super::{ended::EndedWrite, keys::KeyPhase, state::QueueState, write::QueuedWrite};
use crate::{
    clock::Now,
    store::contracts::queue::{
        Bound, Coalescing, Idempotency, NewWrite, Pushed, QueueBounds, SCOPE_SIZE, new_write_size,
    },
    write_queue::{WriteId, WriteState},
};

impl QueueState {
    pub(super) fn push(&mut self, write: &NewWrite, bounds: &QueueBounds, now: Now) -> Pushed {
        if let Some(known) = self.known(write) {
            return known;
        }
        let superseded = self.superseded_by(write);
        if let Some(bound) = self.exceeded(write, superseded, bounds, now) {
            return Pushed::Full(bound);
        }
        let seq = self.next_seq(now);
        let accepted = QueuedWrite::new(write, seq, now);
        let key = Arc::clone(&accepted.key);
        let (writes, is_new) = self.keys.get_or_insert(&key, now.mono);
        if superseded.is_some() {
            writes.ids.pop_back();
        }
        writes.ids.push_back(write.id);
        self.insert_accepted(write.id, accepted, superseded, bounds, now);
        if is_new {
            self.note_due();
        }
        Pushed::Accepted(superseded)
    }

    fn insert_accepted(
        &mut self,
        id: WriteId,
        accepted: QueuedWrite,
        superseded: Option<WriteId>,
        bounds: &QueueBounds,
        now: Now,
    ) {
        if let Some(earlier) = superseded
            && let Some(write) = self.remove(earlier)
        {
            let state = WriteState::Superseded(id);
            self.keep_ended(earlier, write, state, None, &bounds.retention, now);
        }
        self.insert(id, accepted);
    }

    /// The reply if this write was accepted earlier, or its idempotency key is in use.
    fn known(&self, write: &NewWrite) -> Option<Pushed> {
        let by_scope = write.idempotency.and_then(|asked| self.by_scope(asked));
        let by_id = || Some(Pushed::Known(write.id, self.state_of(write.id)?));
        by_scope.or_else(by_id)
    }

    fn by_scope(&self, asked: Idempotency) -> Option<Pushed> {
        let queued = self.scopes.get(&asked.scope).and_then(|id| {
            let fingerprint = self.writes.get(id)?.idempotency?.fingerprint;
            Some((*id, fingerprint, self.state_of(*id)?))
        });
        let found = queued.or_else(|| self.ended.by_scope(&asked.scope));
        found.map(|(id, fingerprint, state)| {
            if fingerprint == asked.fingerprint {
                Pushed::Known(id, state)
            } else {
                Pushed::OtherContent
            }
        })
    }

    /// The last write of the key, if the new one takes its place.
    fn superseded_by(&self, write: &NewWrite) -> Option<WriteId> {
        if write.coalescing == Coalescing::Never {
            return None;
        }
        let key = self.keys.get(&write.key)?;
        let last = *key.ids.back()?;
        let is_in_flight = key.ids.len() == 1 && matches!(key.phase(), KeyPhase::InFlight(_));
        let gives_way = write
            .coalescing
            .replaces(self.writes.get(&last)?.coalescing);
        (gives_way && !is_in_flight).then_some(last)
    }

    /// The bound that the write would exceed. Results give way before the bytes are exceeded.
    fn exceeded(
        &mut self,
        write: &NewWrite,
        superseded: Option<WriteId>,
        bounds: &QueueBounds,
        now: Now,
    ) -> Option<Bound> {
        let key = self.keys.get(&write.key);
        if superseded.is_none() {
            if count(self.writes.len()) >= bounds.max_queue {
                return Some(Bound::Writes);
            }
            if key.is_some_and(|key| count(key.ids.len()) >= bounds.max_per_key) {
                return Some(Bound::PerKey);
            }
        }
        let superseded = superseded.and_then(|id| self.writes.get(&id));
        let freed = superseded.map_or(0, QueuedWrite::size);
        let kept = superseded.map_or(0, |earlier| {
            let state = WriteState::Superseded(write.id);
            let result = EndedWrite::new(earlier, state, None, bounds.retention.result, now);
            let has_scope =
                earlier.idempotency.is_some() && !bounds.retention.idempotency.is_zero();
            result.size() + if has_scope { SCOPE_SIZE } else { 0 }
        });
        let added = new_write_size(write).saturating_add(kept);
        let room = bounds.max_bytes.saturating_add(freed);
        let is_full = |state: &Self| state.total_bytes().saturating_add(added) > room;
        while is_full(self) {
            if !self.ended.drop_oldest_result(now) {
                return Some(Bound::Bytes);
            }
        }
        None
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
