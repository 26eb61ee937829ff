//! This process's copy of the journal: plain state under one lock.

mod blocked_targets;
mod folded_purges;
mod latest_purges;
pub(super) mod new_epoch_state;
mod open_writes;
pub(super) mod own_appends;
pub(super) mod own_record;
mod recent_purges;
mod versions;

use std::sync::Arc;

use self::{
    latest_purges::LatestPurges, new_epoch_state::NewEpochState, open_writes::OpenWrites,
    own_appends::OwnAppends, own_record::OwnRecord, versions::Versions,
};
use super::{
    config::FenceConfig,
    entry_names::EntryNames,
    subscription::{AppliedEvent, EventSender},
    verdict::Verdict,
};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{AppendReply, Record, RecordAction, StatePage},
        position::Position,
    },
};

/// The applied state of the journal, and this process's own appends.
#[derive(Debug)]
pub(super) struct Mirror {
    /// The contiguous position: every record up to it has been applied.
    pub(super) position: Position,
    /// Entries of an earlier position are unusable.
    pub(super) floor: u64,
    pub(super) purges: LatestPurges,
    open: OpenWrites,
    /// Change it through [`own_mut`](Self::own_mut).
    pub(super) own: OwnAppends,
    pub(super) versions: Versions,
    pub(super) events: EventSender,
    /// Increases with every change that may alter a verdict. Entries record the revision at which they
    /// were checked.
    pub(super) revision: u64,
    max_targets: usize,
}

impl Mirror {
    pub(super) fn new(position: Position, config: &FenceConfig) -> Self {
        Self {
            position,
            floor: 0,
            purges: LatestPurges::default(),
            open: OpenWrites::default(),
            own: OwnAppends::new(config.max_queued),
            versions: Versions::default(),
            events: EventSender::default(),
            revision: 1,
            max_targets: config.max_targets.max(1),
        }
    }

    pub(super) fn set_max_targets(&mut self, max_targets: usize) {
        self.max_targets = max_targets.max(1);
        self.prune();
    }

    /// The verdict on all entries of this position, if it does not depend on their names: rule 8 refuses
    /// them, they claim a position that has not been applied here, or no target has been purged since and
    /// none is blocked.
    pub(super) fn verdict_without_names(&self, position: Position) -> Option<Verdict> {
        let is_ahead = self.position.is_before(position);
        if position.epoch != self.position.epoch || position.n < self.floor || is_ahead {
            return Some(Verdict::Unusable);
        }
        let blocked = !self.open.blocked.is_empty() || !self.own.blocked.is_empty();
        (!blocked && self.purges.latest <= position.n).then_some(Verdict::Usable)
    }

    /// The verdict on an entry of this position (rules 1, 8, 11 and 14).
    pub(super) fn verdict(&self, position: Position, names: EntryNames<'_>) -> Verdict {
        if let Some(verdict) = self.verdict_without_names(position) {
            return verdict;
        }
        let named = self.purges.latest_of(names);
        let [open, own] = [&self.open.blocked, &self.own.blocked].map(|set| set.find(names));
        if open.hard + own.hard > 0 || named.hard > position.n {
            Verdict::Unusable
        } else if open.soft + own.soft > 0 || named.soft > position.n {
            Verdict::Stale
        } else {
            Verdict::Usable
        }
    }

    pub(super) fn own_mut(&mut self) -> &mut OwnAppends {
        self.revision += 1;
        &mut self.own
    }

    /// Applies a record of the feed or of a reply. Returns `false` if records before it are missing
    /// or it is of another epoch, so that a sync is needed (rule 6).
    pub(super) fn apply(&mut self, record: &Record) -> bool {
        let Position { epoch, n } = record.position;
        if epoch != self.position.epoch {
            return false;
        }
        if n <= self.position.n {
            return true;
        }
        self.apply_effect(record);
        let is_next = n == self.position.n + 1;
        if is_next {
            self.position.n = n;
        }
        is_next
    }

    /// Applies the reply to an own append that was sent after `known` had been applied.
    ///
    /// Returns `false` if the reply is of another epoch, or its position is not after `known`, so that a
    /// sync and another append are needed (rules 6 and 10).
    pub(super) fn apply_reply(
        &mut self,
        known: Position,
        (ids, sent): (&[u64], &OwnRecord),
        reply: &AppendReply,
        now: u64,
    ) -> bool {
        let Position { epoch, n } = reply.position;
        if epoch != self.position.epoch || (known.epoch == epoch && n <= known.n) {
            return false;
        }
        for record in &reply.between {
            self.apply(record);
        }
        self.raise_floor(reply.floor);
        // Its targets count at once. The position advances only if no record before it is missing (rule
        // 2).
        self.apply(&sent.at(reply.position));
        self.own_mut().end_appends(ids, sent, now);
        true
    }

    /// Merges a page of this epoch's state: for each target, the later purge counts (rule 7).
    pub(super) fn merge(&mut self, page: &StatePage) {
        for (purge, n) in &page.latest {
            self.apply_purge(purge, *n);
        }
        if !page.latest.is_empty() {
            self.revision += 1;
            let purges = page.latest.iter().map(|(purge, _)| purge.clone());
            self.events.send(|| AppliedEvent::Purges(purges.collect()));
        }
        // If the head is before this mirror's position, the page is older than records already applied.
        if page.next.is_none() && page.head.n >= self.position.n {
            self.complete(page);
        }
    }

    fn complete(&mut self, page: &StatePage) {
        if page.floor > self.position.n {
            // The journal has pruned records that this process has not applied.
            self.events.send(|| AppliedEvent::Everything);
        }
        if page.head.n > self.position.n {
            self.position.n = page.head.n;
            self.revision += 1;
        }
        self.raise_floor(page.floor);
        self.prune();
        self.revision += u64::from(self.open.replace(&page.open, page.head.n));
    }

    /// Replaces the state by that of another epoch, whose last page is `page`, and queues this process's
    /// recent purges and declarations for it (rule 10).
    pub(super) fn adopt(&mut self, state: NewEpochState, page: &StatePage, now: u64) {
        self.revision += 1;
        self.position = page.head;
        self.floor = page.floor;
        self.purges = state.purges;
        self.versions.reset();
        for (entity, n) in state.versions {
            self.bump_version(&entity, n);
        }
        self.open = OpenWrites::default();
        self.open.replace(&page.open, page.head.n);
        self.prune();
        self.own.repeat(now);
        self.events.send(|| AppliedEvent::Everything);
    }

    fn apply_effect(&mut self, record: &Record) {
        self.revision += 1;
        let n = record.position.n;
        match record.action {
            RecordAction::Open(token) => return self.open.open(token, &record.purges, n),
            RecordAction::Close(token) => self.open.close(token),
            RecordAction::Invalidate => {}
        }
        for purge in record.purges.iter() {
            self.apply_purge(purge, n);
        }
        self.prune();
        self.events
            .send(|| AppliedEvent::Purges(Arc::clone(&record.purges)));
    }

    fn apply_purge(&mut self, purge: &Purge, n: u64) {
        if let PurgeTarget::Version(entity) = &purge.target {
            self.bump_version(entity, n);
        } else {
            self.purges.set(purge, n);
        }
    }

    fn bump_version(&mut self, entity: &str, n: u64) {
        let position = Position { n, ..self.position };
        if !self.versions.bump(entity, position) {
            // There is no room for its version, so its entries are made unusable instead.
            self.purges
                .set(&Purge::hard(PurgeTarget::Entity(entity.into())), n);
        }
    }

    fn raise_floor(&mut self, floor: u64) {
        if floor > self.floor {
            self.floor = floor;
            self.revision += 1;
            self.prune();
        }
    }

    /// If the purges exceed `max_targets` by more than an eighth, drops those that the floor covers. If
    /// that is not enough, raises the floor to the median and drops those up to it.
    fn prune(&mut self) {
        if self.purges.len() <= self.max_targets + self.max_targets / 8 {
            return;
        }
        self.purges.drop_up_to(self.floor);
        if self.purges.len() > self.max_targets {
            let median = self.purges.median();
            self.purges.drop_up_to(median);
            self.floor = self.floor.max(median);
            self.revision += 1;
        }
    }
}
