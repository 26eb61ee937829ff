//! The mirror behind its lock.

use std::sync::{
    RwLock,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::watch;

use super::{metrics::FenceMetrics, mirror::Mirror};
use crate::{
    error::ignore_poison,
    store::{contracts::journal::Record, position::Position},
};

/// The mirror, its lock, and the values that are read without the lock.
pub(super) struct SharedMirror {
    /// The revision of the mirror.
    stamp: AtomicU64,
    mirror: RwLock<Mirror>,
    /// Whether there are own appends whose reply has not been applied.
    pending: watch::Sender<bool>,
    pub(super) metrics: FenceMetrics,
}

impl SharedMirror {
    pub(super) fn new(mirror: Mirror) -> Self {
        Self {
            stamp: AtomicU64::new(mirror.revision),
            mirror: RwLock::new(mirror),
            pending: watch::Sender::default(),
            metrics: FenceMetrics::register(),
        }
    }

    /// Increases with every change that may alter a verdict.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Acquire)
    }

    /// The contiguous position: every record up to it has been applied.
    pub(super) fn position(&self) -> Position {
        self.read(|mirror| mirror.position)
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&Mirror) -> R) -> R {
        let mirror = ignore_poison(self.mirror.read());
        read(&mirror)
    }

    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Mirror) -> R) -> R {
        let mut mirror = ignore_poison(self.mirror.write());
        let result = change(&mut mirror);
        // Before the lock is released, so that no verdict is older than its stamp.
        self.stamp.store(mirror.revision, Ordering::Release);
        self.metrics.observe(&mirror);
        let pending = mirror.own.pending() > 0;
        self.pending
            .send_if_modified(|was| std::mem::replace(was, pending) != pending);
        result
    }

    /// Applies records of the feed in order. Returns `false` if a sync is needed.
    pub(super) fn apply(&self, records: &[Record]) -> bool {
        let apply_all = |mirror: &mut Mirror| {
            let mut complete = true;
            for record in records {
                complete &= mirror.apply(record);
            }
            complete
        };
        records.is_empty() || self.change(apply_all)
    }

    /// Waits until every own append has been applied.
    pub(super) async fn wait_until_delivered(&self) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.pending.subscribe().wait_for(|pending| !pending).await;
    }
}
