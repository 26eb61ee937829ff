//! The circuit breaker: while Redis does not answer, no request waits for it.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

/// Closed: commands pass. Open: commands fail at once, and the supervisor probes until Redis
/// answers, so that no request is ever spent on a probe.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    open: AtomicBool,
    /// The slot of the last command that failed: the slots of one breaker may have different
    /// primaries.
    slot: AtomicU16,
}

impl Breaker {
    /// A closed breaker for a range of slots that begins with `slot`.
    pub(super) fn for_slots_from(slot: u16) -> Self {
        Self {
            slot: AtomicU16::new(slot),
            ..Self::default()
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether the last command was not answered.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_open() || self.failures.load(Ordering::Relaxed) != 0
    }

    /// Resets the count after Redis replied, even if with an error.
    pub(super) fn success(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a command that Redis did not answer in time; returns true if that opened the breaker.
    pub(super) fn failure(&self, slot: u16) -> bool {
        self.slot.store(slot, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        failures.saturating_add(1) >= THRESHOLD && self.open()
    }

    /// The slot to probe.
    pub(super) fn failed_slot(&self) -> u16 {
        self.slot.load(Ordering::Relaxed)
    }

    /// Opens the breaker; returns false if it was open.
    pub(super) fn open(&self) -> bool {
        !self.open.swap(true, Ordering::Relaxed)
    }

    /// Closes the breaker after a probe was answered; returns false if it was closed.
    pub(super) fn close(&self) -> bool {
        self.failures.store(0, Ordering::Relaxed);
        self.open.swap(false, Ordering::Relaxed)
    }
}

/// Failures in a row that open a breaker.
const THRESHOLD: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_open_it_once() {
        let breaker = Breaker::default();
        for _ in 1..THRESHOLD {
            assert!(!breaker.failure(0));
        }
        assert!(!breaker.is_open());
        assert!(breaker.failure(0));
        assert!(breaker.is_open());
        assert!(!breaker.failure(0), "reported once");
    }

    #[test]
    fn an_answer_resets_the_count() {
        let breaker = Breaker::default();
        for _ in 0..10 * THRESHOLD {
            breaker.failure(0);
            breaker.success();
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn only_a_probe_closes_it() {
        let breaker = Breaker::default();
        breaker.open();
        breaker.success();
        assert!(breaker.is_open());
        assert!(breaker.close());
        assert!(!breaker.failure(0), "the count was reset");
        assert!(!breaker.is_open());
    }
}
