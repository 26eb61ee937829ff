//! What writes leave undone, for the operator.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, counter};

/// Counts what writes leave undone, and logs the first case of each kind.
pub(crate) struct WriteReports {
    targets_skipped: Counter,
    refetches_skipped: Counter,
    has_logged_target: AtomicBool,
    has_logged_refetch: AtomicBool,
}

impl WriteReports {
    pub(super) fn register() -> Self {
        Self {
            targets_skipped: counter!("tower_keep_invalidate_targets_skipped_total"),
            refetches_skipped: counter!("tower_keep_invalidate_refetches_skipped_total"),
            has_logged_target: AtomicBool::new(false),
            has_logged_refetch: AtomicBool::new(false),
        }
    }

    /// Reports targets that a write has not invalidated, because its request lacks a value of their
    /// names.
    pub(crate) fn targets_skipped(&self, number: usize, path: &str) {
        self.targets_skipped.increment(number as u64);
        if number > 0 && !self.has_logged_target.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                path,
                "a write does not invalidate a target of its route, because its request lacks a value of the target's name, or the value is not properly percent-encoded: name only values that every write has, or let the application invalidate the target (`Keep::invalidate`); more such writes are only counted (tower_keep_invalidate_targets_skipped_total)"
            );
        }
    }

    /// Reports a write of a route with `write = "through"` whose GET the layer cannot send.
    pub(crate) fn refetch_skipped(&self, path: &str) {
        self.refetches_skipped.increment(1);
        if !self.has_logged_refetch.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                path,
                "write-through: a write only invalidates its entry, because the layer does not know the service that answers GETs of this route; before the first GET that is normal. Otherwise apply one InvalidateLayer to all methods of the route, best around the whole router (ServiceBuilder), make its service once, or write through = \"answer\"; more such writes are only counted (tower_keep_invalidate_refetches_skipped_total)"
            );
        }
    }
}
