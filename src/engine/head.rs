//! The head of an answer as it is stored, by whichever layer.

use bytes::Bytes;
use http::response;

use super::snapshot::Snapshot;
use crate::{
    clock::Timestamp,
    semantics::{
        etag,
        fields::FieldFilter,
        freshness::Exchange,
        policy::StoragePolicy,
        request_head::RequestHead,
        storable::{self, Refusal},
        stored::StoredResponse,
        vary::VaryFields,
    },
    store::{
        entry::{Content, Entry, LocalState},
        position::Position,
    },
    table::RoutePlan,
};

/// A head that may be stored.
#[derive(Debug)]
pub(crate) struct Head {
    /// Without its body.
    pub(crate) response: StoredResponse,
    /// Which fields of the request select it.
    pub(crate) vary: VaryFields,
    stored: Timestamp,
    expires: Timestamp,
}

impl Head {
    /// As an entry under a key of this entity, and this user if the key names one.
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

impl Snapshot {
    /// What the table says about the responses of a route, or of a path that no route names.
    pub(crate) fn policy<'a>(&self, route: Option<&'a RoutePlan>) -> StoragePolicy<'a> {
        let max = self.plan.max_ttl;
        match route {
            Some(route) => route.policy(max),
            None => StoragePolicy {
                max,
                ..StoragePolicy::STANDARD
            },
        }
    }

    /// The head of the answer to `request`, if it may be stored.
    pub(crate) fn storable(
        &self,
        request: &RequestHead<'_>,
        head: &response::Parts,
        exchange: &Exchange,
        route: Option<&RoutePlan>,
    ) -> Result<Head, Refusal> {
        let policy = self.policy(route);
        let lifetime = storable::decide(request, head.status, &head.headers, exchange, &policy)?;
        let lifetime = self.jittered(lifetime);
        let table = route.map_or(&[][..], |route| &route.vary);
        let vary = VaryFields::of(&head.headers, table).map_err(|_| Refusal::Vary)?;
        let received = exchange.received;
        let headers = FieldFilter::of(&head.headers, policy.strip).select(&head.headers, received);
        let has_validator = etag::can_be_validated(head.status, &headers);
        Ok(Head {
            vary,
            stored: received,
            expires: self.expiry(&lifetime, received, has_validator),
            response: StoredResponse {
                status: head.status,
                headers,
                body: Bytes::new(),
                trailers: None,
                lifetime,
                part: None,
                cost: received.since(exchange.requested),
            },
        })
    }
}
