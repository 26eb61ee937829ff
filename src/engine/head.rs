//! The head of a response that may be stored.

use crate::{
    clock::Timestamp,
    semantics::{stored_response::StoredResponse, vary::VaryFields},
    store::{
        entry::{Content, Entry, LocalState},
        position::Position,
    },
};

/// The head of a response that may be stored, made by [`Snapshot::storable`](super::snapshot::Snapshot).
#[derive(Debug)]
pub(crate) struct Head {
    /// The response without its body.
    pub(crate) response: StoredResponse,
    /// The request fields that select it.
    pub(crate) vary: VaryFields,
    pub(super) stored: Timestamp,
    pub(super) expires: Timestamp,
}

impl Head {
    /// Makes an entry under a key of this entity, and of this user if the key names one.
    pub(crate) fn into_entry(
        self,
        position: Position,
        entity: &str,
        user: Option<&str>,
        tags: Box<[Box<str>]>,
    ) -> Entry {
        Entry {
            content: Content::Response(self.response),
            position,
            stored: self.stored,
            expires: self.expires,
            entity: entity.into(),
            user: user.map(Into::into),
            tags,
            local: LocalState::default(),
        }
    }
}
