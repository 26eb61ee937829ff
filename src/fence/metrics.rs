//! Gauges of the fence.

use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};

use super::mirror::Mirror;

/// Registered once, with the recorder that is installed by then.
pub(super) struct FenceMetrics {
    position: Gauge,
    lag: Gauge,
    trusted: Gauge,
    subjects: Gauge,
    pending: Gauge,
    pub(super) epochs: Counter,
    pub(super) sync_failures: Counter,
}

impl FenceMetrics {
    pub(super) fn register() -> Self {
        Self {
            position: gauge!("tower_keep_fence_position"),
            lag: gauge!("tower_keep_fence_lag_seconds"),
            trusted: gauge!("tower_keep_fence_trusted"),
            subjects: gauge!("tower_keep_fence_live_subjects"),
            pending: gauge!("tower_keep_fence_pending_appends"),
            epochs: counter!("tower_keep_fence_epochs_total"),
            sync_failures: counter!("tower_keep_fence_sync_failures_total"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "gauges are floating")]
    pub(super) fn observe(&self, mirror: &Mirror) {
        self.position.set(mirror.position().n as f64);
        self.subjects.set(mirror.live_subjects() as f64);
        self.pending.set(mirror.pending() as f64);
    }

    pub(super) fn observe_trust(&self, lag: Duration, trusted: bool) {
        self.lag.set(lag.as_secs_f64());
        self.trusted.set(f64::from(u8::from(trusted)));
    }
}
