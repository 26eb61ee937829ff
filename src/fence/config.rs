//! The fence's configuration.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct FenceConfig {
    /// How long entries are used after the last proof of freshness;
    /// [`Fence::set_max_lag`](super::core::Fence::set_max_lag) changes it later.
    pub(crate) max_lag: Duration,
    /// The number of purge targets that are tracked individually. Beyond that, the oldest are
    /// dropped and the floor rises.
    pub(crate) max_targets: usize,
    /// The number of appends that may be queued. Beyond that, one purge of everything replaces them.
    pub(crate) max_queued: usize,
}

impl Default for FenceConfig {
    fn default() -> Self {
        Self {
            max_lag: Duration::from_secs(2),
            max_targets: 1 << 20,
            max_queued: 1024,
        }
    }
}
