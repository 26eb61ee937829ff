//! How many of its own invalidations a process has left to deliver.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    set_global_recorder,
};

/// Reads one gauge without changing it: a snapshot of `DebuggingRecorder` resets every gauge to zero,
/// so that the next read would find nothing left.
#[derive(Clone)]
pub(super) struct Undelivered(Arc<AtomicU64>);

impl Undelivered {
    /// Installs itself; the keep, which registers its gauges, must be made afterwards.
    pub(super) fn install() -> Self {
        let gauge = Self::unset();
        assert!(
            set_global_recorder(gauge.clone()).is_ok(),
            "another recorder"
        );
        gauge
    }

    /// Nothing counts as delivered before the gauge is set.
    fn unset() -> Self {
        Self(Arc::new(AtomicU64::new(f64::MAX.to_bits())))
    }

    /// The number in progress or to be sent again.
    pub(super) fn count(&self) -> u64 {
        // The gauge is a count.
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
    fn reading_the_count_does_not_change_it() {
        let undelivered = Undelivered::unset();
        assert_eq!(undelivered.count(), u64::MAX);
        with_local_recorder(&undelivered, || {
            gauge!("tower_keep_fence_pending_appends").set(2.0);
            gauge!("tower_keep_fence_position").set(7.0);
        });
        assert_eq!([undelivered.count(), undelivered.count()], [2, 2]);
    }
}
