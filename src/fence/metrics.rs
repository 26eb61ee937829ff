//! Metrics of the fence.

use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};

use super::mirror::Mirror;
use crate::store::contracts::journal::EpochCause;

/// The fence's metrics. They are registered once, so the recorder must be installed before.
///
/// - `tower_keep_fence_position`: the number of records of the epoch that have been applied without a gap;
/// - `tower_keep_fence_lag_seconds`: the age of the last proof of freshness, measured when it was
///   renewed or could not be;
/// - `tower_keep_fence_trusted`: 1 while stored responses are used;
/// - `tower_keep_fence_live_subjects`: the number of purge targets that are tracked individually;
/// - `tower_keep_fence_floor`: stored responses from before this position are unusable. If it rises
///   faster than responses expire, `[store] journal_size` is too small;
/// - `tower_keep_fence_pending_appends`: own invalidations that the journal has not confirmed;
/// - `tower_keep_fence_epochs_total` by `cause`: see [`EpochCause`], or `start` for the first epoch that this
///   process has seen;
/// - `tower_keep_fence_sync_failures_total`.
pub(super) struct FenceMetrics {
    position: Gauge,
    lag: Gauge,
    trusted: Gauge,
    targets: Gauge,
    floor: Gauge,
    pending: Gauge,
    first_epoch: Counter,
    /// In the order of [`EpochCause::ALL`].
    epochs: [Counter; EpochCause::ALL.len()],
    pub(super) sync_failures: Counter,
}

impl FenceMetrics {
    pub(super) fn register() -> Self {
        Self {
            position: gauge!("tower_keep_fence_position"),
            lag: gauge!("tower_keep_fence_lag_seconds"),
            trusted: gauge!("tower_keep_fence_trusted"),
            targets: gauge!("tower_keep_fence_live_subjects"),
            floor: gauge!("tower_keep_fence_floor"),
            pending: gauge!("tower_keep_fence_pending_appends"),
            first_epoch: counter!("tower_keep_fence_epochs_total", "cause" => "start"),
            epochs: EpochCause::ALL
                .map(|(_, cause)| counter!("tower_keep_fence_epochs_total", "cause" => cause)),
            sync_failures: counter!("tower_keep_fence_sync_failures_total"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating")]
    pub(super) fn observe(&self, mirror: &Mirror) {
        self.position.set(mirror.position.n as f64);
        self.targets.set(mirror.purges.len() as f64);
        self.floor.set(mirror.floor as f64);
        self.pending.set(mirror.own.pending() as f64);
    }

    /// Counts an epoch; `None` is the first one that this process has seen.
    pub(super) fn count_epoch(&self, cause: Option<EpochCause>) {
        let counter = cause.map(|cause| &self.epochs[cause as usize]);
        counter.unwrap_or(&self.first_epoch).increment(1);
    }

    pub(super) fn observe_trust(&self, lag: Duration, trusted: bool) {
        self.lag.set(lag.as_secs_f64());
        self.trusted.set(f64::from(u8::from(trusted)));
    }
}
