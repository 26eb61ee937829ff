//! The times at which what has ended is removed.

use std::{collections::BTreeSet, sync::Arc};

use crate::write_queue::WriteId;

/// Something that is kept until a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Expiring {
    Result(WriteId),
    Scope([u8; 16]),
    LastEnd(Arc<str>),
    DeadLetter(WriteId),
}

/// By monotonic time.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(u64, Expiring)>);

impl Expiries {
    pub(super) fn add(&mut self, time: u64, expiring: Expiring) {
        self.0.insert((time, expiring));
    }

    pub(super) fn remove(&mut self, time: u64, expiring: Expiring) {
        self.0.remove(&(time, expiring));
    }

    /// Removes the first one whose time has come.
    pub(super) fn pop(&mut self, now: u64) -> Option<Expiring> {
        let (time, _) = self.0.first()?;
        if *time > now {
            return None;
        }
        self.0.pop_first().map(|(_, expiring)| expiring)
    }
}
