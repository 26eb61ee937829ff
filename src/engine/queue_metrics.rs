//! The metrics of write-behind.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::write_queue::QueueCounts;

/// The metrics of the write-behind queue, `tower_keep_write_behind_*`. Times are in seconds.
///
/// Counters count what happens in this process; gauges are the whole queue's, as last seen by this
/// process.
#[derive(Clone, Debug)]
pub(crate) struct QueueMetrics {
    /// Writes that were accepted.
    pub(crate) accepted: Counter,
    /// Accepted writes that a later one has superseded.
    pub(crate) superseded: Counter,
    /// Writes that were not accepted because a bound of the queue was reached.
    pub(crate) rejected_full: Counter,
    /// Writes that were not accepted because the store did not confirm them.
    pub(crate) rejected_unavailable: Counter,
    /// Writes that were not accepted because of the request: its content, its size, its
    /// `Idempotency-Key`, or the application's validation.
    pub(crate) rejected_invalid: Counter,
    /// Writes that the service has answered with success.
    pub(crate) applied: Counter,
    /// Attempts that failed and will be repeated.
    pub(crate) retried: Counter,
    /// Writes that were given up.
    pub(crate) dead: Counter,
    /// Writes whose record was missing in the store.
    pub(crate) lost: Counter,
    /// Claimed writes whose record is of an unknown version, and was left in the queue.
    pub(crate) unreadable: Counter,
    /// Attempts that were cut short because their lease was lost.
    pub(crate) lost_leases: Counter,
    /// From acceptance to the end of the successful attempt.
    pub(crate) accept_to_apply: Histogram,
    /// The calls of the service.
    pub(crate) apply: Histogram,
    waiting: Gauge,
    in_flight: Gauge,
    dead_letters: Gauge,
    bytes: Gauge,
    oldest: Gauge,
    paused: Gauge,
}

impl QueueMetrics {
    pub(crate) fn register() -> Self {
        let rejected = |reason: &'static str| counter!("tower_keep_write_behind_rejected_total", "reason" => reason);
        Self {
            accepted: counter!("tower_keep_write_behind_accepted_total"),
            superseded: counter!("tower_keep_write_behind_superseded_total"),
            rejected_full: rejected("full"),
            rejected_unavailable: rejected("unavailable"),
            rejected_invalid: rejected("invalid"),
            applied: counter!("tower_keep_write_behind_applied_total"),
            retried: counter!("tower_keep_write_behind_retried_total"),
            dead: counter!("tower_keep_write_behind_dead_total"),
            lost: counter!("tower_keep_write_behind_lost_total"),
            unreadable: counter!("tower_keep_write_behind_unreadable_total"),
            lost_leases: counter!("tower_keep_write_behind_lost_leases_total"),
            accept_to_apply: histogram!("tower_keep_write_behind_accept_to_apply_seconds"),
            apply: histogram!("tower_keep_write_behind_apply_seconds"),
            waiting: gauge!("tower_keep_write_behind_waiting"),
            in_flight: gauge!("tower_keep_write_behind_in_flight"),
            dead_letters: gauge!("tower_keep_write_behind_dead_letters"),
            bytes: gauge!("tower_keep_write_behind_bytes"),
            oldest: gauge!("tower_keep_write_behind_oldest_seconds"),
            paused: gauge!("tower_keep_write_behind_paused"),
        }
    }

    /// Sets the gauges.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floating")]
    pub(crate) fn observe(&self, counts: &QueueCounts) {
        self.waiting.set(counts.waiting as f64);
        self.in_flight.set(counts.in_flight as f64);
        self.dead_letters.set(counts.dead as f64);
        self.bytes.set(counts.bytes as f64);
        self.oldest.set(counts.oldest.as_secs_f64());
        self.paused.set(f64::from(u8::from(counts.paused)));
    }
}
