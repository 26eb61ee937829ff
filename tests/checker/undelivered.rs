//! How many own invalidations a process has left to deliver.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_global_recorder,
};

/// Reads one gauge, and leaves it as it is: a snapshot of `DebuggingRecorder` sets every gauge to
/// zero, so that who asks next hears that nothing is left.
#[derive(Clone)]
pub(super) struct Undelivered(Arc<AtomicU64>);

impl Undelivered {
    /// Before the keep is made, which registers its gauges.
    pub(super) fn install() -> Self {
        let gauge = Self::unset();
        assert!(
            set_global_recorder(gauge.clone()).is_ok(),
            "another recorder"
        );
        gauge
    }

    /// Until the gauge is set, nothing counts as delivered.
    fn unset() -> Self {
        Self(Arc::new(AtomicU64::new(f64::MAX.to_bits())))
    }

    /// Under way or to be sent again.
    pub(super) fn count(&self) -> u64 {
        // Truncation is the point: it is a count.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = f64::from_bits(self.0.load(Ordering::SeqCst)) as u64;
        count
    }
}

impl Recorder for Undelivered {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        if key.name() == "tower_keep_fence_pending_appends" {
            return Gauge::from_arc(Arc::clone(&self.0));
        }
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[cfg(test)]
mod tests {
    use metrics::{gauge, with_local_recorder};

    use super::*;

    #[test]
    fn asking_changes_nothing() {
        let undelivered = Undelivered::unset();
        assert_eq!(undelivered.count(), u64::MAX);
        with_local_recorder(&undelivered, || {
            gauge!("tower_keep_fence_pending_appends").set(2.0);
            gauge!("tower_keep_fence_position").set(7.0);
        });
        assert_eq!([undelivered.count(), undelivered.count()], [2, 2]);
    }
}
