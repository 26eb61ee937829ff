//! The records that this process appends.

use std::sync::Arc;

use crate::{
    key::purge::Purge,
    store::{
        contracts::journal::{Record, RecordAction, RecordKind},
        position::Position,
    },
};

/// A record to append to the journal.
#[derive(Clone, Debug)]
pub(in crate::fence) struct OwnRecord {
    pub(in crate::fence) kind: RecordKind,
    pub(in crate::fence) purges: Arc<[Purge]>,
    /// Whether its patterns are published to other programs.
    pub(in crate::fence) published: bool,
}

impl OwnRecord {
    /// A record whose patterns are published, unless it is a declaration.
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

    pub(in crate::fence) fn without_publishing(self) -> Self {
        Self {
            published: false,
            ..self
        }
    }

    /// The record as it appears in the journal at `position`.
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
