//! The circuit breaker: while Redis does not answer, nobody waits for it.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};

/// Opens after so many failures in a row.
const THRESHOLD: u32 = 5;

/// Closed: requests pass. Open: none does; the keeper of the connections probes in their stead and
/// closes it again, so no request is ever spent on a probe.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    open: AtomicBool,
    /// The slot of the last command that failed: of those behind one breaker some may have another
    /// primary.
    slot: AtomicU16,
}

impl Breaker {
    /// One before `slot` and those behind it.
    pub(super) fn before(slot: u16) -> Self {
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

    /// An answer came, whatever it says.
    pub(super) fn success(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// No answer came, or not in time; true if that opened the breaker.
    pub(super) fn failure(&self, slot: u16) -> bool {
        self.slot.store(slot, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        failures.saturating_add(1) >= THRESHOLD && self.open()
    }

    /// Which slot a probe has to ask about.
    pub(super) fn failed_slot(&self) -> u16 {
        self.slot.load(Ordering::Relaxed)
    }

    /// True unless it was open.
    pub(super) fn open(&self) -> bool {
        !self.open.swap(true, Ordering::Relaxed)
    }

    /// A probe was answered; true unless it was closed.
    pub(super) fn close(&self) -> bool {
        self.failures.store(0, Ordering::Relaxed);
        self.open.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_once() {
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
    fn an_answer_in_between_starts_the_count_again() {
        let breaker = Breaker::default();
        for _ in 0..10 * THRESHOLD {
            breaker.failure(0);
            breaker.success();
        }
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_late_answer_does_not_close_it_but_a_probe_does() {
        let breaker = Breaker::default();
        breaker.open();
        breaker.success();
        assert!(breaker.is_open());
        assert!(breaker.close());
        assert!(!breaker.failure(0), "the count starts again");
        assert!(!breaker.is_open());
    }
}
