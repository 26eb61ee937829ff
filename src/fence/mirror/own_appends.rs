//! What this process has appended or declared itself.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    append_queue::{AppendQueue, OwnRecord},
    blocked_targets::{Block, BlockedTargets},
    recent_purges::RecentPurges,
};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::contracts::journal::{MAX_PURGES, RecordKind},
};

#[derive(Debug)]
pub(in crate::fence) struct OwnAppends {
    /// Own declarations, until the record that closes them has been applied.
    declared: HashMap<u64, OwnDeclaration>,
    queue: AppendQueue,
    recent: RecentPurges,
    /// What the appends and declarations name (rule 11).
    pub(super) blocked: BlockedTargets,
    max_queued: usize,
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
            declared: HashMap::new(),
            queue: AppendQueue::default(),
            recent: RecentPurges::default(),
            blocked: BlockedTargets::default(),
            max_queued,
        }
    }

    pub(super) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// The queued record to be sent next, and the ids of its appends.
    pub(in crate::fence) fn next_queued(&self) -> Option<(Vec<u64>, OwnRecord)> {
        self.queue.next_queued()
    }

    /// Blocks what the purges name until the reply has been applied (rule 11).
    pub(in crate::fence) fn begin(&mut self, record: OwnRecord) -> u64 {
        let block = self.blocked.add(&record.purges);
        self.queue.add(record, block)
    }

    /// Leaves the append to the task that delivers. If too many are queued, one purge of everything
    /// replaces them.
    pub(in crate::fence) fn queue(&mut self, id: u64) {
        self.queue.queue(id);
        if let Some(dropped) = self.queue.overflow(self.max_queued) {
            for append in dropped {
                self.blocked.remove(append.block);
                if let RecordKind::Close { token } = append.record.kind {
                    self.undeclare(token);
                }
            }
            let everything = [Purge::hard(PurgeTarget::Everything)];
            let id = self.begin(OwnRecord::invalidation(everything.into()));
            self.queue.queue(id);
        }
    }

    /// Removes an append without sending it again.
    pub(in crate::fence) fn forget(&mut self, id: u64) {
        if let Some(block) = self.queue.remove(id) {
            self.blocked.remove(block);
        }
    }

    /// Blocks what is declared, whatever the journal says, until [`undeclare`](Self::undeclare).
    pub(in crate::fence) fn declare(&mut self, token: u64, purges: Arc<[Purge]>, until: u64) {
        let block = self.blocked.add(&purges);
        let declaration = OwnDeclaration {
            purges,
            until,
            block,
        };
        self.declared.insert(token, declaration);
    }

    pub(in crate::fence) fn undeclare(&mut self, token: u64) {
        if let Some(declaration) = self.declared.remove(&token) {
            self.blocked.remove(declaration.block);
        }
    }

    /// The record that was sent has been applied.
    pub(super) fn applied(&mut self, ids: &[u64], sent: &OwnRecord, now: u64) {
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
            // It was declared again in a new epoch, and closed before that record was applied.
            let purges = Arc::clone(&sent.purges);
            self.queue_again(OwnRecord::new(RecordKind::Close { token }, purges));
        }
    }

    /// Queues what a new epoch may not know of (rule 10).
    pub(super) fn repeat(&mut self, now: u64) {
        for purges in self.recent.take(now).chunks(MAX_PURGES) {
            self.queue_again(OwnRecord::invalidation(purges.into()));
        }
        let declared: Vec<_> = self
            .declared
            .iter()
            // Opened again after its closing, a declaration would last until its lease ends.
            .filter(|(token, own)| own.until > now && !self.queue.closes(**token))
            .map(|(token, own)| (*token, own.until - now, Arc::clone(&own.purges)))
            .collect();
        for (token, left, purges) in declared {
            let lease = Duration::from_nanos(left);
            self.queue_again(OwnRecord::new(RecordKind::Open { token, lease }, purges));
        }
    }

    /// Queues a record whose patterns have been published before.
    fn queue_again(&mut self, record: OwnRecord) {
        let id = self.begin(record.unpublished());
        self.queue(id);
    }
}
