//! The fence's configuration.

use std::time::Duration;

use crate::store::contracts::journal::JournalLimits;

#[derive(Clone, Copy, Debug)]
pub(crate) struct FenceConfig {
    /// How long entries are used after the last proof of freshness;
    /// [`Fence::set_max_lag`](super::core::Fence::set_max_lag) changes it later.
    pub(crate) max_lag: Duration,
    /// The number of purge targets that are tracked individually. Beyond that, the oldest are
    /// dropped and the floor rises.
    pub(crate) max_targets: usize,
    /// The number of appends that may be queued. Beyond that, fewer and, if need be, wider purges replace
    /// them.
    pub(crate) max_queued: usize,
}

impl FenceConfig {
    pub(crate) fn new(max_lag: Duration, limits: JournalLimits) -> Self {
        Self {
            max_lag,
            max_targets: max_targets(limits),
            ..Self::default()
        }
    }
}

/// How many targets the fence tracks in as much memory as the journal may take.
pub(super) fn max_targets(limits: JournalLimits) -> usize {
    usize::try_from(limits.bytes / TARGET_SIZE).unwrap_or(usize::MAX)
}

/// A target and a free bucket of the hash table take at most 64 bytes, and an eighth more targets are
/// tracked before they are pruned.
const TARGET_SIZE: u64 = 72;

impl Default for FenceConfig {
    fn default() -> Self {
        Self {
            max_lag: Duration::from_secs(2),
            max_targets: 1 << 18,
            max_queued: 1024,
        }
    }
}
