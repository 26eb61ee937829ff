//! This process's own appends and declarations.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::Arc,
    time::Duration,
};

use super::{
    blocked_targets::{Block, BlockedTargets},
    folded_purges::fold,
    own_record::OwnRecord,
    recent_purges::RecentPurges,
};
use crate::{
    key::purge::Purge,
    store::contracts::journal::{MAX_PURGES, RecordKind},
};

/// Appends by their ids, which increase, and declarations by their tokens.
#[derive(Debug, Default)]
pub(in crate::fence) struct OwnAppends {
    /// Appends that are being sent by their callers.
    sent: HashMap<u64, PendingAppend>,
    /// Appends that the delivery task sends.
    queued: BTreeMap<u64, PendingAppend>,
    next_id: u64,
    /// Own declarations, until the record that closes them has been applied.
    declared: HashMap<u64, OwnDeclaration>,
    recent: RecentPurges,
    /// The targets that pending appends and own declarations name (rule 11).
    pub(super) blocked: BlockedTargets,
    max_queued: usize,
}

/// An own append whose reply has not been applied.
#[derive(Debug)]
struct PendingAppend {
    record: OwnRecord,
    block: Block,
}

#[derive(Debug)]
struct OwnDeclaration {
    purges: Arc<[Purge]>,
    /// When its lease ends, on the monotonic clock.
    until: u64,
    block: Block,
}

impl OwnAppends {
    pub(super) fn new(max_queued: usize) -> Self {
        Self {
            max_queued,
            ..Self::default()
        }
    }

    /// The number of appends whose reply has not been applied.
    pub(in crate::fence) fn pending(&self) -> usize {
        self.sent.len() + self.queued.len()
    }

    /// The ids of the oldest queued append and of the invalidations after it that fit into the same
    /// record, and that record.
    pub(in crate::fence) fn next_queued(&self) -> Option<(Vec<u64>, OwnRecord)> {
        let mut queued = self.queued.iter();
        let (id, first) = queued.next()?;
        let (mut ids, mut merged) = (vec![*id], first.record.clone());
        if merged.kind == RecordKind::Invalidate {
            let mut purges = merged.purges.to_vec();
            for (id, PendingAppend { record, .. }) in queued {
                let alike = record.kind == merged.kind && record.published == merged.published;
                if !alike || purges.len() + record.purges.len() > MAX_PURGES {
                    break;
                }
                purges.extend(record.purges.iter().cloned());
                ids.push(*id);
            }
            merged.purges = purges.into();
        }
        Some((ids, merged))
    }

    /// Begins an append: blocks its targets until the reply has been applied (rule 11).
    pub(in crate::fence) fn begin(&mut self, record: OwnRecord) -> u64 {
        let block = self.blocked.add(&record.purges);
        let id = self.next_id;
        self.next_id += 1;
        self.sent.insert(id, PendingAppend { record, block });
        id
    }

    /// Leaves the append to the delivery task. If too many are queued, fewer records replace them.
    pub(in crate::fence) fn queue(&mut self, id: u64) {
        self.queued.extend(self.sent.remove_entry(&id));
        if self.queued.len() <= self.max_queued {
            return;
        }
        self.fold_queued(|kind| kind == RecordKind::Invalidate);
        if self.queued.len() > self.max_queued / 2 {
            // The journal may keep these declarations open until their leases end.
            self.fold_queued(|kind| !matches!(kind, RecordKind::Open { .. }));
        }
    }

    /// Replaces queued appends of these kinds by invalidations that name at least the same entries.
    fn fold_queued(&mut self, is_folded: impl Fn(RecordKind) -> bool) {
        let queued = mem::take(&mut self.queued).into_iter();
        let (folded, kept) = queued.partition(|(_, append)| is_folded(append.record.kind));
        self.queued = kept;
        let folded: BTreeMap<u64, PendingAppend> = folded;
        let mut purges = [Vec::new(), Vec::new()];
        for PendingAppend { record, block } in folded.into_values() {
            self.blocked.remove(block);
            if let RecordKind::Close { token } = record.kind {
                self.undeclare(token);
            }
            purges[usize::from(record.published)].extend(record.purges.iter().cloned());
        }
        let [received, published] = purges.map(|purges| fold(purges, self.max_folded()));
        let received = received.chunks(MAX_PURGES);
        let received = received.map(|it| OwnRecord::invalidation(it.into()).without_publishing());
        let published = published.chunks(MAX_PURGES);
        let published = published.map(|it| OwnRecord::invalidation(it.into()));
        for record in received.chain(published) {
            let id = self.begin(record);
            self.queued.extend(self.sent.remove_entry(&id));
        }
    }

    /// How many purges may replace those of the queued appends.
    fn max_folded(&self) -> usize {
        4 * self.max_queued
    }

    /// Removes an append without sending it again.
    pub(in crate::fence) fn forget(&mut self, id: u64) {
        let append = self.sent.remove(&id).or_else(|| self.queued.remove(&id));
        if let Some(append) = append {
            self.blocked.remove(append.block);
        }
    }

    /// Blocks the declared targets until [`undeclare`](Self::undeclare), independently of the journal.
    pub(in crate::fence) fn declare(&mut self, token: u64, purges: Arc<[Purge]>, until: u64) {
        let block = self.blocked.add(&purges);
        let declaration = OwnDeclaration {
            purges,
            until,
            block,
        };
        self.declared.insert(token, declaration);
    }

    /// Moves the end of an own declaration's lease.
    pub(in crate::fence) fn renew(&mut self, token: u64, until: u64) {
        if let Some(declaration) = self.declared.get_mut(&token) {
            declaration.until = until;
        }
    }

    fn undeclare(&mut self, token: u64) {
        if let Some(declaration) = self.declared.remove(&token) {
            self.blocked.remove(declaration.block);
        }
    }

    /// Ends the appends whose common record `sent` has been applied.
    pub(super) fn end_appends(&mut self, ids: &[u64], sent: &OwnRecord, now: u64) {
        if !matches!(sent.kind, RecordKind::Open { .. }) {
            self.recent.add(&sent.purges, now);
        }
        if let RecordKind::Close { token } = sent.kind {
            self.undeclare(token);
        }
        for id in ids {
            self.forget(*id);
        }
        if let RecordKind::Open { token, .. } = sent.kind
            && !self.declared.contains_key(&token)
        {
            // The write was declared again in a new epoch, and closed before that record was applied.
            let purges = Arc::clone(&sent.purges);
            self.queue_again(OwnRecord::new(RecordKind::Close { token }, purges));
        }
    }

    /// Queues the recent purges and declarations that a new epoch may not contain (rule 10).
    pub(super) fn repeat(&mut self, now: u64) {
        for purges in self.recent.take(now).chunks(MAX_PURGES) {
            self.queue_again(OwnRecord::invalidation(purges.into()));
        }
        let declared: Vec<_> = self
            .declared
            .iter()
            // If a declaration were opened again after it was closed, it would last until its lease
            // ends.
            .filter(|(token, own)| own.until > now && !self.closes(**token))
            .map(|(token, own)| {
                let (token, lease) = (*token, Duration::from_nanos(own.until - now));
                OwnRecord::new(RecordKind::Open { token, lease }, Arc::clone(&own.purges))
            })
            .collect();
        for record in declared {
            self.queue_again(record);
        }
    }

    /// Whether a pending append closes the declaration.
    fn closes(&self, token: u64) -> bool {
        let mut pending = self.sent.values().chain(self.queued.values());
        pending.any(|append| append.record.kind == RecordKind::Close { token })
    }

    /// Queues a record whose patterns have been published before.
    fn queue_again(&mut self, record: OwnRecord) {
        let id = self.begin(record.without_publishing());
        self.queue(id);
    }
}
