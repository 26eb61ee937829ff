//! What a keep remembers about its queue.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a keep remembers about its queue.
#[derive(Debug, Default)]
pub(crate) struct AcceptanceState {
    /// Whether a write was put into the queue in memory.
    has_accepted: AtomicBool,
    /// Whether the store was asked if it can keep the table's promise.
    is_checked: AtomicBool,
}

impl AcceptanceState {
    pub(crate) fn has_accepted(&self) -> bool {
        self.has_accepted.load(Ordering::Relaxed)
    }

    /// Notes that a write is about to be put into the queue in memory; returns whether it is the first.
    pub(super) fn is_first(&self) -> bool {
        !self.has_accepted.swap(true, Ordering::Relaxed)
    }

    /// Notes that the store is being checked; returns whether it was not.
    pub(super) fn begin_check(&self) -> bool {
        !self.is_checked.swap(true, Ordering::Relaxed)
    }

    /// Lets the next write check the store again: it has not answered, or the table is a new one.
    pub(crate) fn check_again(&self) {
        self.is_checked.store(false, Ordering::Relaxed);
    }
}
