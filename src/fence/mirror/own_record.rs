//! The records of this process.

use std::sync::Arc;

use crate::{
    key::purge::Purge,
    store::{
        contracts::journal::{Record, RecordAction, RecordKind},
        position::Position,
    },
};

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
