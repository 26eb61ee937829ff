//! The latest purge of each target.

use crate::{
    fence::{entry_names::EntryNames, target_index::TargetIndex},
    key::purge::Purge,
};

/// Each target with the `n` of the latest records that named it.
#[derive(Debug, Default)]
pub(super) struct LatestPurges {
    index: TargetIndex<PurgePositions>,
    latest: u64,
}

impl LatestPurges {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The latest `n` of all.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// The latest that named the entry.
    pub(super) fn latest_of(&self, names: EntryNames<'_>) -> PurgePositions {
        let mut latest = PurgePositions::default();
        self.index
            .visit(names, |positions| latest.merge(*positions));
        latest
    }

    pub(super) fn set(&mut self, purge: &Purge, n: u64) {
        self.latest = self.latest.max(n);
        let oldest = self
            .index
            .evict_glob(&purge.target, |positions| positions.latest());
        if let Some((wider, before)) = oldest {
            self.index
                .update(&wider, |positions| positions.merge(before));
        }
        self.index.update(&purge.target, |positions| {
            let latest = if purge.soft {
                &mut positions.soft
            } else {
                &mut positions.hard
            };
            *latest = n.max(*latest);
        });
    }

    pub(super) fn drop_up_to(&mut self, floor: u64) {
        self.index.retain(|positions| positions.latest() > floor);
    }

    pub(super) fn median(&self) -> u64 {
        let mut latest: Vec<u64> = self.index.values().map(PurgePositions::latest).collect();
        let middle = latest.len() / 2;
        *latest.select_nth_unstable(middle).1
    }
}

/// The `n` of the latest hard and of the latest soft purge; 0 if there is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PurgePositions {
    pub(super) hard: u64,
    pub(super) soft: u64,
}

impl PurgePositions {
    fn latest(&self) -> u64 {
        self.hard.max(self.soft)
    }

    fn merge(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }
}
