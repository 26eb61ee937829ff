//! For how long entries may be used without another proof of freshness.

use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{clock::nanos, error::ignore_poison};

/// The last proof of freshness and how long it holds (rule 12). All times are on the monotonic
/// clock, in nanoseconds.
pub(super) struct Trust {
    /// Written under the lock on `proved_at`, as `max_lag` is.
    until: AtomicU64,
    max_lag: AtomicU64,
    /// When the request of the last proof was sent; 0 if there is none.
    proved_at: Mutex<u64>,
}

impl Trust {
    /// No proof yet.
    pub(super) fn new(max_lag: Duration) -> Self {
        Self {
            until: AtomicU64::new(0),
            max_lag: AtomicU64::new(nanos(max_lag)),
            proved_at: Mutex::new(0),
        }
    }

    pub(super) fn holds(&self, now: u64) -> bool {
        now < self.until.load(Ordering::Acquire)
    }

    /// Whether a fill that began at `captured` is so young that its own read proves it.
    pub(super) fn covers_fill(&self, captured: u64, now: u64) -> bool {
        captured != 0 && now < captured.saturating_add(self.max_lag.load(Ordering::Acquire))
    }

    /// Everything that the journal held at `sent` has been applied.
    pub(super) fn prove(&self, sent: u64) {
        self.update(|proved_at| *proved_at = sent.max(*proved_at));
    }

    /// Changes how long a proof holds, the last one included.
    pub(super) fn set_max_lag(&self, max_lag: Duration) {
        self.update(|_| self.max_lag.store(nanos(max_lag), Ordering::Release));
    }

    /// The age of the last proof.
    pub(super) fn lag(&self, now: u64) -> Duration {
        Duration::from_nanos(now.saturating_sub(*self.proved_at()))
    }

    /// How often to prove freshness: even if two proofs fail, the one before still holds.
    pub(super) fn proof_interval(&self) -> Duration {
        let max_lag = Duration::from_nanos(self.max_lag.load(Ordering::Acquire));
        (max_lag / 4).max(Duration::from_millis(1))
    }

    fn update(&self, change: impl FnOnce(&mut u64)) {
        let mut proved_at = self.proved_at();
        change(&mut proved_at);
        if *proved_at > 0 {
            let until = proved_at.saturating_add(self.max_lag.load(Ordering::Acquire));
            self.until.store(until, Ordering::Release);
        }
    }

    pub(super) fn proved_at(&self) -> MutexGuard<'_, u64> {
        ignore_poison(self.proved_at.lock())
    }
}
