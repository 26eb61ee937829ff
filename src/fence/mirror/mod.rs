//! What this process knows of the journal.

mod marks;
mod own;
mod pages;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use self::marks::Marks;
pub(super) use self::pages::Staged;
use super::{
    check::{Options, Verdict},
    names::Names,
    news::{Channel, News},
    pending::{Block, Blocked, Pending, Recent, nanos},
    settle::Settling,
};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{Record, RecordAction},
        position::Position,
    },
};

/// The mirror: plain state, changed under the fence's lock.
#[derive(Debug)]
pub(super) struct Mirror {
    /// Every record up to here has been applied.
    at: Position,
    /// What is stored from before is unusable.
    floor: u64,
    marks: Marks,
    open: HashMap<u64, Opened>,
    /// Own declarations, until their closing has been applied.
    declared: HashMap<u64, Own>,
    pending: Pending,
    blocked: Blocked,
    recent: Recent,
    settling: Settling,
    versions: HashMap<Box<str>, Arc<AtomicU64>>,
    pub(super) news: Channel,
    /// Changes whenever a verdict could; the stamp of entries that were checked.
    revision: u64,
    subjects: usize,
    queue: usize,
}

#[derive(Debug)]
struct Opened {
    /// Its record's `n`, or the head of the state that it was in.
    n: u64,
    block: Block,
}

#[derive(Debug)]
struct Own {
    purges: Arc<[Purge]>,
    /// On the monotonic clock.
    until: u64,
    block: Block,
}

/// What became of a record from the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It, and every record before it, has been applied.
    Followed,
    /// Records are missing, or the epoch is another: sync.
    Lost,
}

impl Mirror {
    pub(super) fn new(at: Position, options: &Options) -> Self {
        Self {
            at,
            floor: 0,
            marks: Marks::default(),
            open: HashMap::new(),
            declared: HashMap::new(),
            pending: Pending::default(),
            blocked: Blocked::default(),
            recent: Recent::default(),
            settling: Settling::new(nanos(options.settle)),
            versions: HashMap::new(),
            news: Channel::default(),
            revision: 1,
            subjects: options.subjects.max(1),
            queue: options.pending,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.at
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn live_subjects(&self) -> usize {
        self.marks.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Rule 8, and the verdict on whatever was stored at this position if nothing is named that
    /// could make a difference to it: neither after that, nor by what blocks. Else its names decide.
    pub(super) fn verdict_on_all(&self, position: Position) -> Option<Verdict> {
        if position.epoch != self.at.epoch || position.n < self.floor {
            return Some(Verdict::Unusable);
        }
        let unnamed = self.blocked.is_empty() && self.marks.latest() <= position.n;
        unnamed.then_some(Verdict::Usable)
    }

    /// Rules 1, 8, 11 and 14.
    pub(super) fn verdict(&self, position: Position, names: Names<'_>) -> Verdict {
        if let Some(verdict) = self.verdict_on_all(position) {
            return verdict;
        }
        let (mut unusable, mut stale) = self.blocked.names(names);
        let named = self.marks.latest_of(names);
        unusable |= named.hard > position.n;
        stale |= named.soft > position.n;
        match (unusable, stale) {
            (true, _) => Verdict::Unusable,
            (false, true) => Verdict::Stale,
            (false, false) => Verdict::Usable,
        }
    }

    pub(super) fn disturbs(&self, captured: u64, names: Names<'_>) -> bool {
        self.settling.disturbs(captured, names)
    }

    /// The cell that holds the entity's version.
    pub(super) fn version(&mut self, entity: &str) -> Arc<AtomicU64> {
        if let Some(cell) = self.versions.get(entity) {
            return Arc::clone(cell);
        }
        Arc::clone(self.versions.entry(entity.into()).or_default())
    }

    pub(super) fn known_version(&self, entity: &str) -> Option<Arc<AtomicU64>> {
        self.versions.get(entity).map(Arc::clone)
    }
}

/// Records and pages.
impl Mirror {
    /// A record of the feed, or one that came along with an answer.
    pub(super) fn record(&mut self, record: &Record, now: u64) -> Step {
        let Position { epoch, n } = record.position;
        if epoch != self.at.epoch {
            return Step::Lost;
        }
        if n <= self.at.n {
            return Step::Followed;
        }
        self.apply(record, now);
        if n > self.at.n + 1 {
            return Step::Lost;
        }
        self.at.n = n;
        Step::Followed
    }

    fn apply(&mut self, record: &Record, now: u64) {
        self.revision += 1;
        let n = record.position.n;
        match record.action {
            RecordAction::Open(token) => self.opened(token, &record.purges, n),
            RecordAction::Close(token) => {
                self.closed(token);
                self.mark(&record.purges, n, now);
            }
            RecordAction::Invalidate => self.mark(&record.purges, n, now),
        }
    }

    fn mark(&mut self, purges: &Arc<[Purge]>, n: u64, now: u64) {
        for purge in purges.iter() {
            self.mark_one(purge, n);
            self.settling.applied(&purge.subject, now);
        }
        self.prune();
        self.news.tell(|| News::Purges(Arc::clone(purges)));
    }

    fn mark_one(&mut self, purge: &Purge, n: u64) {
        if let PurgeTarget::Version(entity) = &purge.subject {
            self.bump(entity, n);
        } else {
            self.marks.set(purge, n);
        }
    }

    fn bump(&mut self, entity: &str, n: u64) {
        if self.versions.len() < MAX_VERSIONS || self.versions.contains_key(entity) {
            let version = version_of(Position { n, ..self.at });
            self.version(entity).fetch_max(version, Ordering::AcqRel);
        } else {
            // More entities than any table has: what they name is unusable rather than unreachable.
            self.marks
                .set(&Purge::hard(PurgeTarget::Entity(entity.into())), n);
        }
    }

    fn opened(&mut self, token: u64, purges: &[Purge], n: u64) {
        let block = self.blocked.add(purges);
        if let Some(before) = self.open.insert(token, Opened { n, block }) {
            self.blocked.lift(before.block);
        }
    }

    fn closed(&mut self, token: u64) {
        if let Some(opened) = self.open.remove(&token) {
            self.blocked.lift(opened.block);
        }
    }

    fn raise_floor(&mut self, floor: u64) {
        if floor > self.floor {
            self.floor = floor;
            self.revision += 1;
            self.prune();
        }
    }

    /// Drops what the floor covers once it is worth the walk; raises the floor if that does not help.
    fn prune(&mut self) {
        let limit = self.subjects + self.subjects / 8;
        if self.marks.len() <= limit {
            return;
        }
        self.marks.drop_up_to(self.floor);
        if self.marks.len() > self.subjects {
            let middle = self.marks.median();
            self.marks.drop_up_to(middle);
            self.floor = self.floor.max(middle);
            self.revision += 1;
        }
    }
}

/// A version that no other epoch repeats: 24 bits of the epoch before 40 bits of `n`.
fn version_of(position: Position) -> u64 {
    (position.epoch << 40) | (position.n & ((1 << 40) - 1))
}

const MAX_VERSIONS: usize = 4096;
