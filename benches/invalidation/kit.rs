use tower_keep::{Keep, Table};

use super::support::shared;

pub(crate) async fn keep(url: &str) -> Keep {
    shared::keep(url, Table::new()).await
}

/// In microseconds.
pub(crate) fn quantile(nanos: &mut [u64], q: f64) -> f64 {
    nanos.sort_unstable();
    nanos[((nanos.len() - 1) as f64 * q) as usize] as f64 / 1000.0
}
