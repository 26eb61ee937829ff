//! The connection pool of a process.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use arc_swap::ArcSwapOption;

use super::{batch::BatchQueue, connection::Connection};

/// The connection pool, used round-robin.
pub(super) struct ConnectionPool {
    slots: Box<[PoolSlot]>,
    next: AtomicUsize,
}

/// One slot of the pool, which holds one connection at a time.
#[derive(Default)]
struct PoolSlot {
    /// The connection, unless there is none yet or it is known to be broken.
    current: ArcSwapOption<Connection>,
    /// Whether to replace it as soon as possible.
    outdated: AtomicBool,
    queue: BatchQueue,
}

impl ConnectionPool {
    pub(super) fn new(count: usize) -> Self {
        Self {
            slots: (0..count).map(|_| PoolSlot::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The index of the next usable connection.
    pub(super) fn pick_connection(&self) -> Option<usize> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..self.len())
            .map(|step| start.wrapping_add(step) % self.len())
            .find(|index| self.slots[*index].current.load().is_some())
    }

    /// Connection `index`, if it is usable.
    pub(super) fn connection(&self, index: usize) -> Option<Connection> {
        let current = self.slots[index].current.load();
        current
            .as_ref()
            .map(|connection| Connection::clone(connection))
    }

    /// The reads that wait to be sent over connection `index`.
    pub(super) fn queue(&self, index: usize) -> &BatchQueue {
        &self.slots[index].queue
    }

    pub(super) fn set(&self, index: usize, connection: Connection) {
        let slot = &self.slots[index];
        slot.outdated.store(false, Ordering::Relaxed);
        slot.current.store(Some(Arc::new(connection)));
    }

    pub(super) fn is_outdated(&self, index: usize) -> bool {
        self.slots[index].outdated.load(Ordering::Relaxed)
    }

    /// Marks the connection for replacement: its address may now belong to another server. It is used
    /// until the new one is connected.
    pub(super) fn mark_outdated(&self, index: usize) {
        self.slots[index].outdated.store(true, Ordering::Relaxed);
    }

    pub(super) fn mark_all_outdated(&self) {
        (0..self.len()).for_each(|index| self.mark_outdated(index));
    }

    pub(super) fn mark_broken(&self, index: usize) {
        self.slots[index].current.store(None);
    }
}
