//! Bounds of the entries that are read from a shared store.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::table::Plan;

/// The most that the table in use lets this process store. Entries that are read from a shared store
/// are held to it, too, as another process, or another program, may have written them.
#[derive(Debug)]
pub(crate) struct ReadBounds {
    /// `[ttl] max`, in milliseconds.
    max_ttl: AtomicU64,
    /// The longest body of a response, in bytes.
    max_body: AtomicU64,
}

impl ReadBounds {
    pub(crate) fn new(plan: &Plan) -> Self {
        let bounds = Self::default();
        bounds.set(plan);
        bounds
    }

    /// Changes the bounds to those of another table.
    pub(crate) fn set(&self, plan: &Plan) {
        let max_ttl = u64::try_from(plan.max_ttl.as_millis()).unwrap_or(u64::MAX);
        self.max_ttl.store(max_ttl, Ordering::Relaxed);
        self.max_body.store(plan.max_body(), Ordering::Relaxed);
    }

    pub(crate) fn max_ttl(&self) -> Duration {
        Duration::from_millis(self.max_ttl.load(Ordering::Relaxed))
    }

    pub(crate) fn max_body(&self) -> u64 {
        self.max_body.load(Ordering::Relaxed)
    }
}

/// No bounds.
impl Default for ReadBounds {
    fn default() -> Self {
        Self {
            max_ttl: AtomicU64::new(u64::MAX),
            max_body: AtomicU64::new(u64::MAX),
        }
    }
}
