//! The head of a response in the form in which it is stored.

use crate::{
    clock::Timestamp,
    semantics::{stored_response::StoredResponse, vary::VaryFields},
    store::{
        entry::{Content, Entry, LocalState},
        position::Position,
    },
};

/// The head of a response in the form in which it is stored: filtered fields, lifetime and expiry.
/// [`Snapshot::storable`](super::snapshot::Snapshot::storable) makes it.
#[derive(Debug)]
pub(crate) struct StoredHead {
    /// The response without its body.
    pub(crate) response: StoredResponse,
    /// The request fields that select it.
    pub(crate) vary: VaryFields,
    pub(super) stored: Timestamp,
    pub(super) expires: Timestamp,
}

impl StoredHead {
    /// Makes an entry with this entity, and with the user that its key names, if any.
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
