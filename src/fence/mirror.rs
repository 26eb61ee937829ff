//! What this process knows of the journal.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    check::{Options, Verdict},
    index::Index,
    names::Names,
    news::{Channel, News},
    pending::{Batch, Block, Blocked, Pending, Recent, nanos},
    settle::Settling,
};
use crate::store::journal::{
    Action, Appended, Declared, Kind, MAX_PURGES, Page, Position, Purge, Record, Subject,
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

/// Subjects with their latest `n`, hard and soft.
#[derive(Debug, Default)]
struct Marks {
    index: Index<Mark>,
    /// The latest `n` of all of them.
    latest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    hard: u64,
    soft: u64,
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

/// The state of another epoch, while its pages come in.
#[derive(Debug)]
pub(super) struct Staged {
    epoch: u64,
    marks: Marks,
    versions: Vec<(Box<str>, u64)>,
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
        self.marks.index.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Rules 1, 8, 11 and 14.
    pub(super) fn verdict(&self, position: Position, names: Names<'_>) -> Verdict {
        if position.epoch != self.at.epoch || position.n < self.floor {
            return Verdict::Unusable;
        }
        let (mut unusable, mut stale) = self.blocked.names(names);
        if self.marks.latest > position.n {
            self.marks.index.visit(names, |mark| {
                unusable |= mark.hard > position.n;
                stale |= mark.soft > position.n;
            });
        }
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
            Action::Open(token) => self.opened(token, &record.purges, n),
            Action::Close(token) => {
                self.closed(token);
                self.mark(&record.purges, n, now);
            }
            Action::Invalidate => self.mark(&record.purges, n, now),
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
        if let Subject::Version(entity) = &purge.subject {
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
            self.marks.set(&Purge::hard(Subject::Entity(entity.into())), n);
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

    /// A page of this epoch's state; merged by maximum (rule 7).
    pub(super) fn merge(&mut self, page: &Page, now: u64) {
        for (purge, n) in &page.latest {
            self.mark_one(purge, *n);
            self.settling.applied(&purge.subject, now);
        }
        if !page.latest.is_empty() {
            self.revision += 1;
            let purges = page.latest.iter().map(|(purge, _)| purge.clone());
            self.news.tell(|| News::Purges(purges.collect()));
        }
        if page.next.is_none() {
            self.complete(page);
        }
    }

    fn complete(&mut self, page: &Page) {
        if page.head.n < self.at.n {
            return; // older than what the feed has brought
        }
        if page.floor > self.at.n {
            // Records that we never saw have been pruned.
            self.news.tell(|| News::Everything);
        }
        if page.head.n > self.at.n {
            self.at.n = page.head.n;
            self.revision += 1;
        }
        self.raise_floor(page.floor);
        self.declare_as(&page.open, page.head.n);
    }

    /// The declarations of a state are all there are up to its head.
    fn declare_as(&mut self, declared: &[Declared], head: u64) {
        let gone: Vec<u64> = self
            .open
            .iter()
            .filter(|(token, opened)| {
                opened.n <= head && !declared.iter().any(|open| open.token == **token)
            })
            .map(|(token, _)| *token)
            .collect();
        self.revision += u64::from(!gone.is_empty());
        for token in gone {
            self.closed(token);
        }
        for open in declared {
            if !self.open.contains_key(&open.token) {
                self.revision += 1;
                self.opened(open.token, &open.purges, head);
            }
        }
    }

    /// Takes over the state of another epoch, whose last page this is. What we invalidated lately
    /// and what we declared is to be appended to it (rule 10).
    pub(super) fn adopt(&mut self, staged: Staged, page: &Page, now: u64) {
        self.revision += 1;
        self.at = page.head;
        self.floor = page.floor;
        self.marks = staged.marks;
        for cell in self.versions.values() {
            cell.store(0, Ordering::Release);
        }
        for (entity, n) in staged.versions {
            self.bump(&entity, n);
        }
        for opened in std::mem::take(&mut self.open).into_values() {
            self.blocked.lift(opened.block);
        }
        self.declare_as(&page.open, page.head.n);
        self.prune();
        self.repeat(now);
        self.news.tell(|| News::Everything);
    }

    fn repeat(&mut self, now: u64) {
        for purges in self.recent.take(now).chunks(MAX_PURGES) {
            self.queue_new(Kind::Invalidate, purges.into());
        }
        let declared: Vec<_> = self
            .declared
            .iter()
            .filter(|(_, own)| own.until > now)
            .map(|(token, own)| (*token, own.until - now, Arc::clone(&own.purges)))
            .collect();
        for (token, left, purges) in declared {
            let lease = Duration::from_nanos(left);
            self.queue_new(Kind::Open { token, lease }, purges);
        }
    }

    fn queue_new(&mut self, kind: Kind, purges: Arc<[Purge]>) {
        // Whoever listens has heard of it.
        let id = self.pend(kind, purges, false);
        self.queue(id);
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
        if self.marks.index.len() <= limit {
            return;
        }
        self.marks.drop_up_to(self.floor);
        if self.marks.index.len() > self.subjects {
            let middle = self.marks.median();
            self.marks.drop_up_to(middle);
            self.floor = self.floor.max(middle);
            self.revision += 1;
        }
    }
}

/// Own appends.
impl Mirror {
    /// From now until the reply has been applied, what this names is uncacheable here (rule 11).
    pub(super) fn pend(&mut self, kind: Kind, purges: Arc<[Purge]>, public: bool) -> u64 {
        self.revision += 1;
        let block = self.blocked.add(&purges);
        self.pending.add(kind, purges, public, block)
    }

    /// Leaves it to be sent again by the queue, which widens to everything when it overflows.
    pub(super) fn queue(&mut self, id: u64) {
        self.pending.queue(id);
        if let Some(dropped) = self.pending.overflow(self.queue) {
            for (kind, block) in dropped {
                self.blocked.lift(block);
                if let Kind::Close { token } = kind {
                    self.undeclare(token);
                }
            }
            let everything = Arc::from([Purge::hard(Subject::Everything)]);
            let id = self.pend(Kind::Invalidate, everything, true);
            self.pending.queue(id);
        }
    }

    /// What is queued, to be sent.
    pub(super) fn batch(&self) -> Option<Batch> {
        self.pending.batch()
    }

    /// Forgets an append that nobody needs any more.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(block) = self.pending.remove(id) {
            self.revision += 1;
            self.blocked.lift(block);
        }
    }

    /// Applies the answer to an own append that was sent when `known` had been applied. False if it
    /// is of another epoch, or not beyond what was applied (rules 6 and 10): sync, append again.
    pub(super) fn own(
        &mut self,
        known: Position,
        batch: &Batch,
        reply: &Appended,
        now: u64,
    ) -> bool {
        let Position { epoch, n } = reply.position;
        if epoch != self.at.epoch || (known.epoch == epoch && n <= known.n) {
            return false;
        }
        for record in &reply.between {
            self.record(record, now);
        }
        self.raise_floor(reply.floor);
        // Its subjects count at once; the contiguous position moves only if nothing is missing
        // before it (rule 2).
        self.record(&own_record(reply.position, batch), now);
        if !matches!(batch.kind, Kind::Open { .. }) {
            self.recent.add(&batch.purges, now);
        }
        if let Kind::Close { token } = batch.kind {
            self.undeclare(token);
        }
        for id in &batch.ids {
            self.forget(*id);
        }
        true
    }

    /// Remembers an own declaration, which blocks here whatever the journal says.
    pub(super) fn declare(&mut self, token: u64, purges: Arc<[Purge]>, until: u64) {
        self.revision += 1;
        let block = self.blocked.add(&purges);
        self.declared.insert(token, Own { purges, until, block });
    }

    pub(super) fn undeclare(&mut self, token: u64) {
        if let Some(own) = self.declared.remove(&token) {
            self.revision += 1;
            self.blocked.lift(own.block);
        }
    }
}

impl Marks {
    fn set(&mut self, purge: &Purge, n: u64) {
        self.latest = self.latest.max(n);
        let oldest = self.index.surplus_glob(&purge.subject, |mark| mark.latest());
        if let Some((wider, before)) = oldest {
            self.index.update(&wider, |mark| mark.merge(before));
        }
        self.index.update(&purge.subject, |mark| {
            let latest = if purge.soft { &mut mark.soft } else { &mut mark.hard };
            *latest = n.max(*latest);
        });
    }

    fn drop_up_to(&mut self, floor: u64) {
        self.index.retain(|mark| mark.latest() > floor);
    }

    fn median(&self) -> u64 {
        let mut latest: Vec<u64> = self.index.values().map(Mark::latest).collect();
        let middle = latest.len() / 2;
        *latest.select_nth_unstable(middle).1
    }
}

impl Mark {
    fn latest(&self) -> u64 {
        self.hard.max(self.soft)
    }

    fn merge(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }
}

impl Staged {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            epoch,
            marks: Marks::default(),
            versions: Vec::new(),
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn merge(&mut self, page: &Page) {
        for (purge, n) in &page.latest {
            if let Subject::Version(entity) = &purge.subject {
                self.versions.push((entity.clone(), *n));
            } else {
                self.marks.set(purge, *n);
            }
        }
    }
}

fn own_record(position: Position, batch: &Batch) -> Record {
    let action = match batch.kind {
        Kind::Invalidate => Action::Invalidate,
        Kind::Open { token, .. } => Action::Open(token),
        Kind::Close { token } => Action::Close(token),
    };
    Record {
        position,
        action,
        purges: Arc::clone(&batch.purges),
    }
}

/// A version that no other epoch repeats: 24 bits of the epoch before 40 bits of `n`.
fn version_of(position: Position) -> u64 {
    (position.epoch << 40) | (position.n & ((1 << 40) - 1))
}

const MAX_VERSIONS: usize = 4096;
