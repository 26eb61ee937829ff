//! Metrics of the store on Redis.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::verb::Verb;
use crate::{error::Kind, store::wire::Unreadable};

/// Handles, registered once.
///
/// - `tower_keep_store_duration_seconds` by `verb`: of commands that were answered, and of reads that went
///   out together until the last was;
/// - `tower_keep_store_errors_total` by `verb` and `kind` (`timeout`, `unavailable`, `refused`, `corrupt`);
/// - `tower_keep_store_skipped_total`: commands not sent because the breaker was open, or because an
///   earlier one had not been answered and they could be done without;
/// - `tower_keep_store_breaker_open`: how many breakers are open (a Cluster has one for every range of slots);
/// - `tower_keep_store_corrupt_total` by `kind`: stored values that could not be read (`foreign`, `damaged`)
///   or that a later release wrote (`unknown`);
/// - `tower_keep_store_reconnects_total`: connections that were replaced.
#[derive(Debug)]
pub(super) struct StoreMetrics {
    verbs: Box<[VerbMetrics]>,
    pub(super) skipped: Counter,
    pub(super) breaker_open: Gauge,
    foreign: Counter,
    unknown: Counter,
    damaged: Counter,
    pub(super) reconnects: Counter,
}

#[derive(Debug)]
struct VerbMetrics {
    duration: Histogram,
    timeout: Counter,
    unavailable: Counter,
    refused: Counter,
    corrupt: Counter,
}

impl StoreMetrics {
    pub(super) fn register() -> Self {
        let unreadable = |kind: &'static str| metrics::counter!("tower_keep_store_corrupt_total", "kind" => kind);
        Self {
            verbs: Verb::ALL.map(VerbMetrics::register).into(),
            skipped: metrics::counter!("tower_keep_store_skipped_total"),
            breaker_open: metrics::gauge!("tower_keep_store_breaker_open"),
            foreign: unreadable("foreign"),
            unknown: unreadable("unknown"),
            damaged: unreadable("damaged"),
            reconnects: metrics::counter!("tower_keep_store_reconnects_total"),
        }
    }

    pub(super) fn answered(&self, verb: Verb, after: Duration) {
        self.verbs[verb as usize].duration.record(after);
    }

    pub(super) fn unreadable(&self, why: Unreadable) {
        match why {
            Unreadable::Foreign => &self.foreign,
            Unreadable::Unknown => &self.unknown,
            Unreadable::Damaged => &self.damaged,
        }
        .increment(1);
    }

    pub(super) fn timed_out(&self, verb: Verb) {
        self.verbs[verb as usize].timeout.increment(1);
    }

    pub(super) fn failed(&self, verb: Verb, kind: Kind) {
        let verb = &self.verbs[verb as usize];
        match kind {
            Kind::Refused => &verb.refused,
            Kind::Corrupt => &verb.corrupt,
            _ => &verb.unavailable,
        }
        .increment(1);
    }
}

impl VerbMetrics {
    fn register(verb: Verb) -> Self {
        let verb = verb.as_str();
        let errors = |kind: &'static str| metrics::counter!("tower_keep_store_errors_total", "verb" => verb, "kind" => kind);
        Self {
            duration: metrics::histogram!("tower_keep_store_duration_seconds", "verb" => verb),
            timeout: errors("timeout"),
            unavailable: errors("unavailable"),
            refused: errors("refused"),
            corrupt: errors("corrupt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_its_own_place() {
        for (index, verb) in Verb::ALL.into_iter().enumerate() {
            assert_eq!(verb as usize, index);
        }
    }
}
