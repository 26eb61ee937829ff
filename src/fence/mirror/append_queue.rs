//! Own appends whose reply has not been applied.

use std::{collections::BTreeMap, sync::Arc};

use super::blocked_targets::Block;
use crate::{
    key::purge::Purge,
    store::{
        contracts::journal::{MAX_PURGES, Record, RecordAction, RecordKind},
        position::Position,
    },
};

/// In the order in which they were made. Some are being sent by their caller; the others are queued.
#[derive(Debug, Default)]
pub(super) struct AppendQueue {
    appends: BTreeMap<u64, PendingAppend>,
    next_id: u64,
    queued: usize,
}

#[derive(Debug)]
pub(super) struct PendingAppend {
    pub(super) record: OwnRecord,
    pub(super) block: Block,
    queued: bool,
}

impl AppendQueue {
    pub(super) fn add(&mut self, record: OwnRecord, block: Block) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let append = PendingAppend {
            record,
            block,
            queued: false,
        };
        self.appends.insert(id, append);
        id
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Block> {
        let append = self.appends.remove(&id)?;
        self.queued -= usize::from(append.queued);
        Some(append.block)
    }

    /// Leaves the append to the task that delivers.
    pub(super) fn queue(&mut self, id: u64) {
        if let Some(append) = self.appends.get_mut(&id)
            && !append.queued
        {
            append.queued = true;
            self.queued += 1;
        }
    }

    /// Removes all queued appends if there are more than `limit`.
    pub(super) fn overflow(&mut self, limit: usize) -> Option<Vec<PendingAppend>> {
        if self.queued <= limit {
            return None;
        }
        self.queued = 0;
        let (queued, rest) = std::mem::take(&mut self.appends)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, append)| append.queued);
        self.appends = rest;
        Some(queued.into_values().collect())
    }

    /// The ids of the oldest queued append and of the invalidations after it that fit in one record;
    /// and that record.
    pub(super) fn next_queued(&self) -> Option<(Vec<u64>, OwnRecord)> {
        let mut queued = self.appends.iter().filter(|(_, append)| append.queued);
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

    pub(super) fn closes(&self, token: u64) -> bool {
        let mut kinds = self.appends.values().map(|append| append.record.kind);
        kinds.any(|kind| kind == RecordKind::Close { token })
    }

    pub(super) fn len(&self) -> usize {
        self.appends.len()
    }
}

/// A record that this process appends.
#[derive(Clone, Debug)]
pub(in crate::fence) struct OwnRecord {
    pub(in crate::fence) kind: RecordKind,
    pub(in crate::fence) purges: Arc<[Purge]>,
    /// Whether its patterns are published to other programs.
    pub(in crate::fence) published: bool,
}

impl OwnRecord {
    /// A record to be published, unless it is a declaration.
    pub(in crate::fence) fn new(kind: RecordKind, purges: Arc<[Purge]>) -> Self {
        Self {
            kind,
            purges,
            published: !matches!(kind, RecordKind::Open { .. }),
        }
    }

    pub(in crate::fence) fn invalidation(purges: Arc<[Purge]>) -> Self {
        Self::new(RecordKind::Invalidate, purges)
    }

    pub(in crate::fence) fn unpublished(self) -> Self {
        Self {
            published: false,
            ..self
        }
    }

    /// The record as the journal holds it.
    pub(super) fn at(&self, position: Position) -> Record {
        let action = match self.kind {
            RecordKind::Invalidate => RecordAction::Invalidate,
            RecordKind::Open { token, .. } => RecordAction::Open(token),
            RecordKind::Close { token } => RecordAction::Close(token),
        };
        Record {
            position,
            action,
            purges: Arc::clone(&self.purges),
        }
    }
}
