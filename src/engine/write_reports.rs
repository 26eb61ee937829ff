//! What writes leave undone, for the operator.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, counter};

/// Counts what writes leave undone, and logs the first case of each kind.
pub(crate) struct WriteReports {
    refetches_skipped: Counter,
    has_logged_refetch: AtomicBool,
}

impl WriteReports {
    pub(super) fn register() -> Self {
        Self {
            refetches_skipped: counter!("tower_keep_invalidate_refetches_skipped_total"),
            has_logged_refetch: AtomicBool::new(false),
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
