//! Own appends.

use std::sync::Arc;

use super::{Mirror, Own};
use crate::{
    fence::pending::Batch,
    key::purge::{Purge, PurgeTarget},
    store::{
        contracts::journal::{Appended, Record, RecordAction, RecordKind},
        position::Position,
    },
};

impl Mirror {
    /// From now until the reply has been applied, what this names is uncacheable here (rule 11).
    pub(in crate::fence) fn pend(
        &mut self,
        kind: RecordKind,
        purges: Arc<[Purge]>,
        public: bool,
    ) -> u64 {
        self.revision += 1;
        let block = self.blocked.add(&purges);
        self.pending.add(kind, purges, public, block)
    }

    /// Leaves it to be sent again by the queue, which widens to everything when it overflows.
    pub(in crate::fence) fn queue(&mut self, id: u64) {
        self.pending.queue(id);
        if let Some(dropped) = self.pending.overflow(self.queue) {
            for (kind, block) in dropped {
                self.blocked.lift(block);
                if let RecordKind::Close { token } = kind {
                    self.undeclare(token);
                }
            }
            let everything = Arc::from([Purge::hard(PurgeTarget::Everything)]);
            let id = self.pend(RecordKind::Invalidate, everything, true);
            self.pending.queue(id);
        }
    }

    /// What is queued, to be sent.
    pub(in crate::fence) fn batch(&self) -> Option<Batch> {
        self.pending.batch()
    }

    /// Forgets an append that nobody needs any more.
    pub(in crate::fence) fn forget(&mut self, id: u64) {
        if let Some(block) = self.pending.remove(id) {
            self.revision += 1;
            self.blocked.lift(block);
        }
    }

    /// Applies the answer to an own append that was sent when `known` had been applied. False if it
    /// is of another epoch, or not beyond what was applied (rules 6 and 10): sync, append again.
    pub(in crate::fence) fn own(
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
        if !matches!(batch.kind, RecordKind::Open { .. }) {
            self.recent.add(&batch.purges, now);
        }
        if let RecordKind::Close { token } = batch.kind {
            self.undeclare(token);
        }
        for id in &batch.ids {
            self.forget(*id);
        }
        if let RecordKind::Open { token, .. } = batch.kind
            && !self.declared.contains_key(&token)
        {
            // Declared once more in a new epoch, it has ended while that was on its way.
            self.queue_new(RecordKind::Close { token }, Arc::clone(&batch.purges));
        }
        true
    }

    /// Remembers an own declaration, which blocks here whatever the journal says.
    pub(in crate::fence) fn declare(&mut self, token: u64, purges: Arc<[Purge]>, until: u64) {
        self.revision += 1;
        let block = self.blocked.add(&purges);
        self.declared.insert(
            token,
            Own {
                purges,
                until,
                block,
            },
        );
    }

    pub(in crate::fence) fn undeclare(&mut self, token: u64) {
        if let Some(own) = self.declared.remove(&token) {
            self.revision += 1;
            self.blocked.lift(own.block);
        }
    }
}

fn own_record(position: Position, batch: &Batch) -> Record {
    let action = match batch.kind {
        RecordKind::Invalidate => RecordAction::Invalidate,
        RecordKind::Open { token, .. } => RecordAction::Open(token),
        RecordKind::Close { token } => RecordAction::Close(token),
    };
    Record {
        position,
        action,
        purges: Arc::clone(&batch.purges),
    }
}
