//! How many attempts may call the service at the same time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The slots for calls of the service. An attempt takes one before it claims a write, and frees it when
/// the call has ended: what follows concerns the stores alone.
#[derive(Debug)]
pub(super) struct CallSlots {
    limit: usize,
    taken: AtomicUsize,
    freed: Notify,
}

impl CallSlots {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    pub(super) fn has_room(&self) -> bool {
        self.taken.load(Ordering::Acquire) < self.limit
    }

    pub(super) fn take(self: &Arc<Self>) -> CallSlot {
        self.taken.fetch_add(1, Ordering::AcqRel);
        CallSlot {
            slots: Arc::clone(self),
            is_free: false,
        }
    }

    /// Waits until a slot was freed.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

/// The slot of an attempt, freed at the latest when it is dropped.
#[derive(Debug)]
pub(super) struct CallSlot {
    slots: Arc<CallSlots>,
    is_free: bool,
}

impl CallSlot {
    /// Frees the slot, because the call has ended.
    pub(super) fn free(&mut self) {
        if !self.is_free {
            self.is_free = true;
            self.slots.taken.fetch_sub(1, Ordering::AcqRel);
            self.slots.freed.notify_one();
        }
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_is_freed_once_by_the_end_of_the_call_or_of_the_attempt() {
        let slots = CallSlots::new(1);
        let mut first = slots.take();
        assert!(!slots.has_room());
        first.free();
        slots.freed().await;
        assert!(slots.has_room());
        let second = slots.take();
        assert!(!slots.has_room(), "it calls");
        drop(first);
        assert!(!slots.has_room(), "the first one was free already");
        drop(second);
        assert!(slots.has_room());
    }
}
