//! Metrics of the store on Redis.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use super::command::Command;
use crate::{error::Kind, store::wire::Unreadable};

/// The metrics' handles, registered once. The label `verb` is the [`Command`].
///
/// - `tower_keep_store_duration_seconds` by `verb`: time until the reply, for batched reads until the last
///   reply of the batch;
/// - `tower_keep_store_errors_total` by `verb` and `kind` (`timeout`, `unavailable`, `refused`, `corrupt`);
/// - `tower_keep_store_skipped_total`: commands not sent because the breaker was open, or optional commands
///   not sent because the previous one had no reply;
/// - `tower_keep_store_breaker_open`: number of open breakers (a Cluster has one for each range of slots);
/// - `tower_keep_store_corrupt_total` by `kind`: stored values that could not be read (`foreign`, `damaged`),
///   that a later release wrote (`unknown`), that were stored under another key (`misplaced`), or that no
///   process with this table stores (`implausible`);
/// - `tower_keep_store_foreign_locks_total`: locks that no process of a keep can have taken, as they would
///   last too long, and that were therefore ignored;
/// - `tower_keep_store_reconnects_total`: connections that were replaced.
#[derive(Debug)]
pub(super) struct StoreMetrics {
    commands: Box<[CommandMetrics]>,
    pub(super) skipped: Counter,
    pub(super) breaker_open: Gauge,
    foreign: Counter,
    unknown: Counter,
    damaged: Counter,
    misplaced: Counter,
    implausible: Counter,
    pub(super) foreign_locks: Counter,
    pub(super) reconnects: Counter,
}

#[derive(Debug)]
struct CommandMetrics {
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
            commands: Command::ALL
                .map(|(_, verb)| CommandMetrics::register(verb))
                .into(),
            skipped: metrics::counter!("tower_keep_store_skipped_total"),
            breaker_open: metrics::gauge!("tower_keep_store_breaker_open"),
            foreign: unreadable("foreign"),
            unknown: unreadable("unknown"),
            damaged: unreadable("damaged"),
            misplaced: unreadable("misplaced"),
            implausible: unreadable("implausible"),
            foreign_locks: metrics::counter!("tower_keep_store_foreign_locks_total"),
            reconnects: metrics::counter!("tower_keep_store_reconnects_total"),
        }
    }

    pub(super) fn record_reply(&self, command: Command, after: Duration) {
        self.commands[command as usize].duration.record(after);
    }

    pub(super) fn record_unreadable(&self, reason: Unreadable) {
        match reason {
            Unreadable::Foreign => &self.foreign,
            Unreadable::Unknown => &self.unknown,
            Unreadable::Damaged => &self.damaged,
            Unreadable::Misplaced => &self.misplaced,
            Unreadable::Implausible => &self.implausible,
        }
        .increment(1);
    }

    pub(super) fn record_timeout(&self, command: Command) {
        self.commands[command as usize].timeout.increment(1);
    }

    pub(super) fn record_error(&self, command: Command, kind: Kind) {
        let command = &self.commands[command as usize];
        match kind {
            Kind::Refused => &command.refused,
            Kind::Corrupt => &command.corrupt,
            _ => &command.unavailable,
        }
        .increment(1);
    }
}

impl CommandMetrics {
    fn register(verb: &'static str) -> Self {
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
    fn every_command_has_its_own_metrics() {
        for (index, (command, _)) in Command::ALL.into_iter().enumerate() {
            assert_eq!(command as usize, index);
        }
    }
}
