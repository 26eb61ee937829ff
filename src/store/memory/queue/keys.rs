//! The keys of the queue, each with its writes in order.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use crate::write_queue::WriteId;

/// The keys that have writes or are held.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_name: HashMap<Arc<str>, KeyWrites>,
    /// The keys that are ready or in flight, by the time at which they are due again.
    times: BTreeSet<(u64, Arc<str>)>,
}

#[derive(Debug)]
pub(super) struct KeyWrites {
    /// Oldest first.
    pub(super) ids: VecDeque<WriteId>,
    phase: KeyPhase,
}

/// Whether the first write of a key can be handed out.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyPhase {
    /// From this monotonic time on.
    Ready(u64),
    InFlight(KeyLease),
    /// Not before this dead letter is retried or deleted.
    Held(WriteId),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct KeyLease {
    pub(super) token: u64,
    pub(super) until: u64,
    pub(super) is_spent: bool,
}

impl KeyWrites {
    pub(super) fn phase(&self) -> KeyPhase {
        self.phase
    }

    /// The token's lease, if it holds the key.
    pub(super) fn lease_of(&self, token: u64) -> Option<KeyLease> {
        match self.phase {
            KeyPhase::InFlight(lease) if lease.token == token => Some(lease),
            _ => None,
        }
    }
}

impl KeyPhase {
    fn time(self) -> Option<u64> {
        match self {
            Self::Ready(due) => Some(due),
            Self::InFlight(lease) => Some(lease.until),
            Self::Held(_) => None,
        }
    }
}

impl Keys {
    pub(super) fn get(&self, key: &str) -> Option<&KeyWrites> {
        self.by_name.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut KeyWrites> {
        self.by_name.get_mut(key)
    }

    /// The key, made ready at `now` if there was none.
    pub(super) fn get_or_insert(&mut self, key: &Arc<str>, now: u64) -> (&mut KeyWrites, bool) {
        let is_new = !self.by_name.contains_key(key);
        if is_new {
            self.times.insert((now, Arc::clone(key)));
        }
        let writes = self.by_name.entry(Arc::clone(key)).or_insert(KeyWrites {
            ids: VecDeque::new(),
            phase: KeyPhase::Ready(now),
        });
        (writes, is_new)
    }

    pub(super) fn set_phase(&mut self, key: &Arc<str>, phase: KeyPhase) {
        let Some(writes) = self.by_name.get_mut(key) else {
            return;
        };
        if let Some(time) = writes.phase.time() {
            self.times.remove(&(time, Arc::clone(key)));
        }
        writes.phase = phase;
        if let Some(time) = phase.time() {
            self.times.insert((time, Arc::clone(key)));
        }
    }

    /// Lets the next write of the key be handed out from `due` on; removes the key if it has none.
    /// Returns whether it has one.
    pub(super) fn release(&mut self, key: &Arc<str>, due: u64) -> bool {
        self.set_phase(key, KeyPhase::Ready(due));
        let is_empty = self.get(key).is_none_or(|writes| writes.ids.is_empty());
        if is_empty {
            self.by_name.remove(key);
            self.times.remove(&(due, Arc::clone(key)));
        }
        !is_empty
    }

    /// The keys that are ready or in flight, by the time at which they are due again.
    pub(super) fn by_time(&self) -> impl Iterator<Item = (u64, &Arc<str>, &KeyWrites)> {
        let times = self.times.iter();
        times.filter_map(|(time, key)| Some((*time, key, self.by_name.get(key)?)))
    }

    pub(super) fn in_flight(&self) -> usize {
        let keys = self.by_name.values();
        keys.filter(|key| matches!(key.phase, KeyPhase::InFlight(_)))
            .count()
    }
}
