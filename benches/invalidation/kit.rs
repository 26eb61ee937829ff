//! Helpers of the cases.

use rustix::time::{ClockId, clock_gettime};
use tower_keep::{Keep, Table};

use super::support::shared;

/// How many messages one round of `propagation` sends.
pub(crate) const MESSAGES_PER_ROUND: usize = 500;

pub(crate) async fn keep(url: &str) -> Keep {
    shared::keep(url, Table::new()).await
}

/// Nanoseconds on the monotonic clock, which all processes of the machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The `q` quantile, in microseconds.
pub(crate) fn quantile(nanos: &mut [u64], q: f64) -> f64 {
    nanos.sort_unstable();
    nanos[((nanos.len() - 1) as f64 * q) as usize] as f64 / 1000.0
}
