//! The purges that this process has appended recently.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use crate::{
    clock::nanos,
    key::purge::{Purge, PurgeTarget},
};

/// The purges to append again in a new epoch, because a failed primary may not have replicated them
/// (rule 10).
#[derive(Debug, Default)]
pub(super) struct RecentPurges {
    /// Each with the time at which it is forgotten.
    purges: VecDeque<(u64, Purge)>,
    /// When the last purge that did not fit would have been forgotten.
    overflow_until: Option<u64>,
}

impl RecentPurges {
    pub(super) fn add(&mut self, purges: &[Purge], now: u64) {
        let until = now.saturating_add(nanos(REMEMBERED));
        self.purges
            .extend(purges.iter().map(|purge| (until, purge.clone())));
        while self.purges.len() > MAX_PURGES {
            self.overflow_until = self
                .purges
                .pop_front()
                .map(|(until, _)| until)
                .max(self.overflow_until);
        }
        while self.purges.front().is_some_and(|(until, _)| *until <= now) {
            self.purges.pop_front();
        }
    }

    /// Removes and returns the purges without duplicates, or a purge of everything if there were
    /// too many.
    pub(super) fn take(&mut self, now: u64) -> Vec<Purge> {
        let overflow = self.overflow_until.take().is_some_and(|until| until > now);
        let purges = std::mem::take(&mut self.purges);
        if overflow {
            return vec![Purge::hard(PurgeTarget::Everything)];
        }
        let left = purges.into_iter().filter(|(until, _)| *until > now);
        let distinct: BTreeSet<Purge> = left.map(|(_, purge)| purge).collect();
        distinct.into_iter().collect()
    }
}

/// Longer than any failover takes.
const REMEMBERED: Duration = Duration::from_secs(300);
const MAX_PURGES: usize = 4096;
