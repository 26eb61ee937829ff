//! What this process has invalidated or declared itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use super::{index::Index, names::Names};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::contracts::journal::{MAX_PURGES, RecordKind},
};

/// Subjects that make what they name unusable here, counted: by own appends without an applied
/// reply, and by open declarations.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    counts: Index<Count>,
    blocks: usize,
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    hard: u32,
    soft: u32,
}

/// What a block is lifted by: the subjects under which it was counted.
#[derive(Debug)]
pub(super) struct Block(Box<[Purge]>);

impl Blocked {
    pub(super) fn add(&mut self, purges: &[Purge]) -> Block {
        self.blocks += 1;
        let counted = purges.iter().map(|purge| {
            let subject = self.counts.update(&as_block(&purge.subject), |count| {
                let count = count.of(purge.soft);
                *count = count.saturating_add(1);
            });
            Purge {
                subject,
                soft: purge.soft,
            }
        });
        Block(counted.collect())
    }

    pub(super) fn lift(&mut self, block: Block) {
        for purge in block.0 {
            self.counts.update(&purge.subject, |count| {
                let count = count.of(purge.soft);
                *count = count.saturating_sub(1);
            });
        }
        self.blocks -= 1;
        if self.blocks == 0 || self.counts.len() > self.sweep_at {
            self.counts.retain(|count| count.hard > 0 || count.soft > 0);
            self.sweep_at = SWEEP_AT.max(2 * self.counts.len());
        }
    }

    /// Whether nothing is blocked.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks == 0
    }

    /// Whether the entry is unusable, and whether it is stale.
    pub(super) fn names(&self, names: Names<'_>) -> (bool, bool) {
        let mut found = (false, false);
        if !self.is_empty() {
            self.counts.visit(names, |count| {
                found.0 |= count.hard > 0;
                found.1 |= count.soft > 0;
            });
        }
        found
    }
}

impl Count {
    fn of(&mut self, soft: bool) -> &mut u32 {
        if soft { &mut self.soft } else { &mut self.hard }
    }
}

/// While a version bump is on its way, what is stored under the version before is unusable.
fn as_block(subject: &PurgeTarget) -> PurgeTarget {
    match subject {
        PurgeTarget::Version(entity) => PurgeTarget::Entity(entity.clone()),
        other => other.clone(),
    }
}

/// Own appends whose reply has not been applied, in their order.
#[derive(Debug, Default)]
pub(super) struct Pending {
    items: BTreeMap<u64, Item>,
    next: u64,
    queued: usize,
}

#[derive(Debug)]
struct Item {
    kind: RecordKind,
    purges: Arc<[Purge]>,
    block: Block,
    /// Whether other programs are to hear of it.
    public: bool,
    /// Nobody waits for its reply: it is to be sent again.
    queued: bool,
}

/// Some of what is pending, to be sent as one record.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) ids: Vec<u64>,
    pub(super) kind: RecordKind,
    pub(super) purges: Arc<[Purge]>,
    /// Whether other programs are to hear of it.
    pub(super) public: bool,
}

impl Pending {
    pub(super) fn add(
        &mut self,
        kind: RecordKind,
        purges: Arc<[Purge]>,
        public: bool,
        block: Block,
    ) -> u64 {
        let id = self.next;
        self.next += 1;
        let item = Item {
            kind,
            purges,
            block,
            public,
            queued: false,
        };
        self.items.insert(id, item);
        id
    }

    /// The reply was applied, or nobody needs it any more.
    pub(super) fn remove(&mut self, id: u64) -> Option<Block> {
        let item = self.items.remove(&id)?;
        self.queued -= usize::from(item.queued);
        Some(item.block)
    }

    /// Gives the item to whoever sends again.
    pub(super) fn queue(&mut self, id: u64) {
        if let Some(item) = self.items.get_mut(&id)
            && !item.queued
        {
            item.queued = true;
            self.queued += 1;
        }
    }

    /// Takes out everything that waits to be sent again, if that is more than `limit`.
    pub(super) fn overflow(&mut self, limit: usize) -> Option<Vec<(RecordKind, Block)>> {
        if self.queued <= limit {
            return None;
        }
        self.queued = 0;
        let (queued, rest) = std::mem::take(&mut self.items)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, item)| item.queued);
        self.items = rest;
        Some(
            queued
                .into_values()
                .map(|item| (item.kind, item.block))
                .collect(),
        )
    }

    /// The oldest of what is queued; invalidations that follow each other go in one record.
    pub(super) fn batch(&self) -> Option<Batch> {
        let mut queued = self.items.iter().filter(|(_, item)| item.queued);
        let (id, first) = queued.next()?;
        let mut batch = Batch {
            ids: vec![*id],
            kind: first.kind,
            purges: Arc::clone(&first.purges),
            public: first.public,
        };
        if first.kind == RecordKind::Invalidate {
            let mut purges = first.purges.to_vec();
            for (id, item) in queued {
                let fits = purges.len() + item.purges.len() <= MAX_PURGES;
                if item.kind != first.kind || item.public != first.public || !fits {
                    break;
                }
                purges.extend(item.purges.iter().cloned());
                batch.ids.push(*id);
            }
            batch.purges = purges.into();
        }
        Some(batch)
    }

    /// Whether the closing of this declaration is on its way.
    pub(super) fn closes(&self, token: u64) -> bool {
        let mut kinds = self.items.values().map(|item| item.kind);
        kinds.any(|kind| kind == RecordKind::Close { token })
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}

/// What this process invalidated lately: an old primary may have taken it to its grave, so it is
/// appended again to every new epoch.
#[derive(Debug, Default)]
pub(super) struct Recent {
    purges: VecDeque<(u64, Purge)>,
    /// Until when there were more than could be remembered.
    overflown: Option<u64>,
}

impl Recent {
    pub(super) fn add(&mut self, purges: &[Purge], now: u64) {
        let until = now.saturating_add(nanos(RECENT));
        self.purges
            .extend(purges.iter().map(|purge| (until, purge.clone())));
        while self.purges.len() > RECENT_PURGES {
            self.overflown = self
                .purges
                .pop_front()
                .map(|(until, _)| until)
                .max(self.overflown);
        }
        while self.purges.front().is_some_and(|(until, _)| *until <= now) {
            self.purges.pop_front();
        }
    }

    /// Each once, everything if they were too many.
    pub(super) fn take(&mut self, now: u64) -> Vec<Purge> {
        let overflown = self.overflown.take().is_some_and(|until| until > now);
        let purges = std::mem::take(&mut self.purges);
        if overflown {
            return vec![Purge::hard(PurgeTarget::Everything)];
        }
        let mut purges: Vec<_> = purges
            .into_iter()
            .filter_map(|(until, purge)| (until > now).then_some(purge))
            .collect();
        purges.sort_unstable_by(|a, b| (&a.subject, a.soft).cmp(&(&b.subject, b.soft)));
        purges.dedup();
        purges
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const SWEEP_AT: usize = 64;

/// How long own invalidations are remembered: longer than any failover takes.
const RECENT: Duration = Duration::from_secs(300);
const RECENT_PURGES: usize = 4096;
