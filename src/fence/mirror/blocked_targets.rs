//! Targets that are unusable for as long as something blocks them.

use crate::{
    fence::{entry_names::EntryNames, target_index::TargetIndex},
    key::purge::{Purge, PurgeTarget},
};

/// Counts, for each target, the blocks that name it.
#[derive(Debug, Default)]
pub(super) struct BlockedTargets {
    counts: TargetIndex<BlockCounts>,
    blocks: usize,
    sweep_at: usize,
}

impl BlockedTargets {
    pub(super) fn add(&mut self, purges: &[Purge]) -> Block {
        self.blocks += 1;
        let counted = purges.iter().map(|purge| {
            let target = self.counts.update(&entries_of(&purge.target), |counts| {
                let count = counts.of(purge.soft);
                *count = count.saturating_add(1);
            });
            Purge {
                target,
                soft: purge.soft,
            }
        });
        Block(counted.collect())
    }

    pub(super) fn remove(&mut self, block: Block) {
        for purge in block.0 {
            self.counts.update(&purge.target, |counts| {
                let count = counts.of(purge.soft);
                *count = count.saturating_sub(1);
            });
        }
        self.blocks -= 1;
        if self.blocks == 0 || self.counts.len() > self.sweep_at {
            self.counts
                .retain(|counts| counts.hard > 0 || counts.soft > 0);
            self.sweep_at = MIN_SWEEP.max(2 * self.counts.len());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Which kinds of blocks name the entry.
    pub(super) fn find(&self, names: EntryNames<'_>) -> BlockedBy {
        let mut found = BlockedBy::default();
        if !self.is_empty() {
            self.counts.visit(names, |counts| {
                found.hard |= counts.hard > 0;
                found.soft |= counts.soft > 0;
            });
        }
        found
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlockedBy {
    pub(super) hard: bool,
    pub(super) soft: bool,
}

/// Removes what [`BlockedTargets::add`] counted: the targets as the index has widened them.
#[derive(Debug)]
pub(super) struct Block(Box<[Purge]>);

#[derive(Clone, Copy, Debug, Default)]
struct BlockCounts {
    hard: u32,
    soft: u32,
}

impl BlockCounts {
    fn of(&mut self, soft: bool) -> &mut u32 {
        if soft { &mut self.soft } else { &mut self.hard }
    }
}

/// Until a version bump is applied, the entries under the previous version are blocked.
fn entries_of(target: &PurgeTarget) -> PurgeTarget {
    match target {
        PurgeTarget::Version(entity) => PurgeTarget::Entity(entity.clone()),
        other => other.clone(),
    }
}

const MIN_SWEEP: usize = 64;
