//! Targets whose entries are unusable while an append or a declaration blocks them.

use crate::{
    fence::{
        entry_names::EntryNames,
        target_index::{HardAndSoft, TargetIndex},
    },
    key::purge::{Purge, PurgeTarget},
};

/// Counts, for each target, the blocks that name it.
#[derive(Debug, Default)]
pub(super) struct BlockedTargets {
    counts: TargetIndex,
    blocks: usize,
    sweep_at: usize,
}

impl BlockedTargets {
    pub(super) fn add(&mut self, purges: &[Purge]) -> Block {
        self.blocks += 1;
        let counted = purges.iter().map(|Purge { target, soft }| Purge {
            target: self
                .counts
                .update(&entries_of(target), |counts| *counts.of(*soft) += 1),
            soft: *soft,
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
            self.counts.retain(|counts| counts.larger() > 0);
            self.sweep_at = MIN_SWEEP.max(2 * self.counts.len());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// The largest counts of all targets that name the entry: 0 for a kind that does not block it.
    pub(super) fn find(&self, names: EntryNames<'_>) -> HardAndSoft {
        if self.is_empty() {
            return HardAndSoft::default();
        }
        self.counts.find(names)
    }
}

/// The targets that one call of [`BlockedTargets::add`] has counted, as the index has widened them.
#[derive(Debug)]
pub(super) struct Block(Box<[Purge]>);

/// The target to block for `target`: until a version bump is applied, the entries under the previous
/// version are blocked.
fn entries_of(target: &PurgeTarget) -> PurgeTarget {
    match target {
        PurgeTarget::Version(entity) => PurgeTarget::Entity(entity.clone()),
        other => other.clone(),
    }
}

const MIN_SWEEP: usize = 64;
