//! The latest purge of each target.

use crate::{
    fence::{
        entry_names::EntryNames,
        target_index::{HardAndSoft, TargetIndex},
    },
    key::purge::Purge,
};

/// For each target, the `n` of the latest hard purge and of the latest soft purge that named it.
#[derive(Debug, Default)]
pub(in crate::fence) struct LatestPurges {
    index: TargetIndex,
    /// The latest `n` of all purges.
    pub(super) latest: u64,
}

impl LatestPurges {
    pub(in crate::fence) fn len(&self) -> usize {
        self.index.len()
    }

    /// The latest purges that named the entry.
    pub(super) fn latest_of(&self, names: EntryNames<'_>) -> HardAndSoft {
        self.index.find(names)
    }

    pub(super) fn set(&mut self, purge: &Purge, n: u64) {
        self.latest = self.latest.max(n);
        if let Some((wider, before)) = self.index.evict_glob(&purge.target) {
            let merge = |latest: &mut HardAndSoft| *latest = latest.max(&before);
            self.index.update(&wider, merge);
        }
        self.index.update(&purge.target, |latest| {
            let latest = latest.of(purge.soft);
            *latest = n.max(*latest);
        });
    }

    pub(super) fn drop_up_to(&mut self, floor: u64) {
        self.index.retain(|latest| latest.larger() > floor);
    }

    pub(super) fn median(&self) -> u64 {
        let mut latest: Vec<u64> = self.index.values().map(HardAndSoft::larger).collect();
        let middle = latest.len() / 2;
        *latest.select_nth_unstable(middle).1
    }
}
