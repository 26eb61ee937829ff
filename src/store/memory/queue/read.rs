//! What the queue tells about its writes.

use bytes::Bytes;

use super::{
    keys::{KeyPhase, KeyWrites},
    state::QueueState,
    write::QueuedWrite,
};
use crate::{
    clock::{Now, Timestamp},
    store::contracts::queue::{PendingWrites, StoredStatus},
    write_queue::{QueueCounts, WriteId, WriteState},
};

impl QueueState {
    pub(super) fn pending(&self, key: &str) -> PendingWrites {
        let writes = self.keys.get(key);
        PendingWrites {
            ids: writes.map_or_else(Vec::new, |writes| writes.ids.iter().copied().collect()),
            last_end: self.ended.last_end(key),
        }
    }

    pub(super) fn requests(&self, ids: &[WriteId]) -> Vec<Option<Bytes>> {
        let request = |id| Some(self.writes.get(id)?.request.clone());
        ids.iter().map(request).collect()
    }

    /// The state of a write that is known.
    pub(super) fn state_of(&self, id: WriteId) -> Option<WriteState> {
        match self.writes.get(&id) {
            Some(write) => Some(self.live_state(id, write)),
            None => self.ended.state_of(id),
        }
    }

    fn live_state(&self, id: WriteId, write: &QueuedWrite) -> WriteState {
        let key = self.keys.get(&write.key);
        let is_first = |key: &&KeyWrites| key.ids.front() == Some(&id);
        match key.filter(is_first).map(KeyWrites::phase) {
            Some(KeyPhase::InFlight(_)) => WriteState::Applying,
            _ => WriteState::Waiting,
        }
    }

    pub(super) fn status(&self, id: WriteId, now: Now) -> Option<StoredStatus> {
        let Some(write) = self.writes.get(&id) else {
            return self.ended.status(id);
        };
        Some(StoredStatus {
            state: self.live_state(id, write),
            key: write.key.as_ref().into(),
            user: write.user.clone(),
            accepted: write.accepted,
            attempts: write.attempts,
            next_attempt: self.next_attempt(write, now),
            ended: None,
            reason: write.reason.clone(),
            answer: None,
            request: Some(write.request.clone()),
        })
    }

    /// When a write that was tried is tried again. Only the first write of a key was tried.
    fn next_attempt(&self, write: &QueuedWrite, now: Now) -> Option<Timestamp> {
        match self.keys.get(&write.key)?.phase() {
            KeyPhase::Ready(due) if write.attempts > 0 => {
                let millis = due.saturating_sub(now.mono) / 1_000_000;
                Some(Timestamp(now.wall.0.saturating_add(millis)))
            }
            _ => None,
        }
    }

    pub(super) fn counts(&self, now: Now) -> QueueCounts {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let accepted = self.writes.values().map(|write| write.accepted);
        QueueCounts {
            waiting: count(self.writes.len()),
            in_flight: count(self.keys.in_flight()),
            dead: count(self.ended.dead()),
            bytes: self.total_bytes(),
            oldest: accepted
                .min()
                .map_or_else(Default::default, |oldest| now.wall.since(oldest)),
            lost: 0,
            paused: self.is_paused,
        }
    }

    pub(super) fn dead_letters(&self, skip: usize, count: usize) -> Vec<WriteId> {
        self.ended.latest_dead().skip(skip).take(count).collect()
    }
}
