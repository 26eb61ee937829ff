//! The time for which entries may be used after a proof of freshness.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::clock::nanos;

/// The last proof of freshness, and the time for which a proof holds (rule 12). All times are on
/// the monotonic clock, in nanoseconds.
pub(super) struct Trust {
    /// When the request of the last proof was sent; 0 if there is none.
    proved_at: AtomicU64,
    max_lag: AtomicU64,
}

impl Trust {
    /// A state without a proof.
    pub(super) fn new(max_lag: Duration) -> Self {
        Self {
            proved_at: AtomicU64::new(0),
            max_lag: AtomicU64::new(nanos(max_lag)),
        }
    }

    pub(super) fn holds(&self, now: u64) -> bool {
        self.covers(self.proved_at(), now)
    }

    /// Whether the time `at` (0 for none) is less than `max_lag` ago.
    pub(super) fn covers(&self, at: u64, now: u64) -> bool {
        at != 0 && now < at.saturating_add(self.max_lag.load(Ordering::Acquire))
    }

    /// Records a proof: everything the journal held at `sent` has been applied.
    pub(super) fn prove(&self, sent: u64) {
        self.proved_at.fetch_max(sent, Ordering::AcqRel);
    }

    /// Changes how long a proof holds, the last one included.
    pub(super) fn set_max_lag(&self, max_lag: Duration) {
        self.max_lag.store(nanos(max_lag), Ordering::Release);
    }

    /// The age of the last proof.
    pub(super) fn lag(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(self.proved_at()))
    }

    /// The interval between proofs: short enough that the last proof still holds after two failures.
    pub(super) fn proof_interval(&self) -> Duration {
        let max_lag = Duration::from_nanos(self.max_lag.load(Ordering::Acquire));
        (max_lag / 4).max(Duration::from_millis(1))
    }

    pub(super) fn proved_at(&self) -> u64 {
        self.proved_at.load(Ordering::Acquire)
    }
}
