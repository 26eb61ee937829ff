//! What persons decide.

use std::sync::Arc;

use super::{keys::KeyPhase, state::QueueState};
use crate::{clock::Now, write_queue::WriteId};

impl QueueState {
    pub(super) fn retry(&mut self, id: WriteId, now: Now) -> bool {
        let Some(mut write) = self.ended.take_letter(id) else {
            return false;
        };
        let key = Arc::clone(&write.key);
        write.begin_again(now);
        let phase = self.keys.get(&key).map(|writes| writes.phase());
        let holds = matches!(phase, Some(KeyPhase::Held(holder)) if holder == id);
        // At the front it keeps its `seq`, which is lower than those of the writes behind it.
        if !holds {
            write.seq = self.next_seq(now);
        }
        let (writes, is_new) = self.keys.get_or_insert(&key, now.mono);
        if holds {
            writes.ids.push_front(id);
        } else {
            writes.ids.push_back(id);
        }
        self.insert(id, write);
        if holds {
            self.release(&key, now.mono);
        } else if is_new {
            self.note_due();
        }
        true
    }

    pub(super) fn delete(&mut self, id: WriteId, now: Now) -> bool {
        let gone = self.ended.remove_letter(id);
        let existed = gone.is_some();
        self.release_held(Vec::from_iter(gone), now);
        existed
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.is_paused = paused;
        if !paused {
            self.note_due();
        }
    }
}
