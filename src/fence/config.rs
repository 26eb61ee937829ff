//! The fence's configuration.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct FenceConfig {
    /// How long entries are used after the last proof of freshness;
    /// [`Fence::set_max_lag`](super::core::Fence::set_max_lag) changes it later.
    pub(crate) max_lag: Duration,
    /// How many purge targets are tracked one by one. Beyond that, the oldest are dropped and the
    /// floor rises.
    pub(crate) max_targets: usize,
    /// How many appends may wait for delivery. Beyond that, they become one purge of everything.
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
