//! A request and its key, beyond the first look.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::{
    answer::Shape,
    judge::{Judged, Traits, judge, may_have},
};
use crate::{
    clock::{Now, Timestamp},
    engine::{core::Engine, lookup::Found, snapshot::Snapshot},
    fence::capture::Capture,
    key::KeyBuf,
    message::client_request::ClientRequest,
    semantics::{
        cache_control::RequestCacheControl,
        cache_status::Forward,
        freshness::Lifetime,
        no_vary_search::QueryVariationRule,
        policy::StoragePolicy,
        sharing,
        storable::Refusal,
        stored::{StoredResponse, Variant},
        vary::VaryFields,
    },
    store::entry::{Content, Entry},
    table::RoutePlan,
};

/// A request and its key, for as long as the inner service takes.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) traits: Traits,
    pub(super) key: KeyBuf,
    pub(super) route: Option<Arc<RoutePlan>>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Whose request it is, where that matters.
    pub(super) user: Option<Box<str>>,
    /// Why nothing stored was found, if that is so.
    pub(super) missed: Forward,
    /// What is stored but could not be used as it is.
    pub(super) candidate: Option<Found>,
    pub(super) sent: Sent,
    /// By which rule the key was found, if not the query as it stands makes it.
    pub(super) search: Option<Arc<QueryVariationRule>>,
}

/// How the request that goes to the inner service differs from the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    AsAsked,
    /// Without the client's preconditions and range.
    Whole,
    /// With those that validate the candidate in their place.
    Validating,
}

impl Asked {
    pub(super) fn judge(&self, found: &Found, now: Now) -> Judged {
        judge(&self.traits, self.route.as_deref(), found, now)
    }

    pub(super) fn with_candidate(&self, found: &Found) -> Self {
        Self {
            candidate: Some(found.clone()),
            ..self.clone()
        }
    }

    /// The stored response that could not be used as it is.
    pub(super) fn candidate_response(&self) -> Option<(&Arc<Entry>, &StoredResponse)> {
        let entry = &self.candidate.as_ref()?.entry;
        match &entry.content {
            Content::Response(response) => Some((entry, response)),
            _ => None,
        }
    }

    /// Why the inner service is asked.
    pub(super) fn forward_reason(&self) -> Forward {
        match self.candidate_response() {
            None => self.missed,
            Some((_, response)) if response.part.is_some() => Forward::Partial,
            Some(_) if self.traits.directives.no_cache => Forward::Request,
            Some(_) => Forward::Stale,
        }
    }

    /// The same, asked for everybody: the whole, and whatever the directives of one client.
    pub(super) fn for_everybody(mut self) -> Self {
        self.traits.shape = Shape::WHOLE;
        self.traits.directives = RequestCacheControl::default();
        self
    }

    /// Ends what is stored, unless only this client is to have nothing of it.
    pub(super) async fn end(
        &self,
        keep: &Engine,
        entry: &Arc<Entry>,
        request: &HeaderMap,
        why: Refusal,
    ) {
        if why != Refusal::Credentials && self.speaks_for_others() {
            keep.forget(&self.key, request, entry).await;
        }
    }

    /// Whether this request may be answered with it at all, fresh or validated.
    pub(super) fn may_have(&self, response: &StoredResponse) -> bool {
        may_have(&self.traits, self.route.as_deref(), response)
    }

    /// Whether what this request is answered is what others would be.
    pub(super) fn speaks_for_others(&self) -> bool {
        sharing::may_collapse(self.traits.credentials, self.traits.scope)
            && !self.traits.directives.no_store
    }

    /// What the table says about the responses.
    pub(super) fn policy(&self) -> StoragePolicy<'_> {
        self.snapshot.policy(self.route.as_deref())
    }

    pub(super) fn entity(&self) -> &str {
        self.route.as_ref().map_or("", |route| &route.entity)
    }

    pub(super) fn table_vary(&self) -> &[HeaderName] {
        self.route.as_ref().map_or(&[], |route| &route.vary)
    }

    pub(super) fn max_body(&self) -> usize {
        let route = self.route.as_ref().map(|route| route.max_body);
        usize::try_from(route.unwrap_or(DEFAULT_MAX_BODY)).unwrap_or(usize::MAX)
    }

    pub(super) fn tags_need_answer(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| route.tags_need_answer())
    }

    pub(super) fn jittered(&self, lifetime: Lifetime) -> Lifetime {
        self.snapshot.jittered(lifetime)
    }

    pub(super) fn expiry(
        &self,
        lifetime: &Lifetime,
        received: Timestamp,
        has_validator: bool,
    ) -> Timestamp {
        self.snapshot.expiry(lifetime, received, has_validator)
    }

    /// Whether the fence lets what was captured then be stored now.
    pub(super) fn may_store(&self, keep: &Engine, capture: &Capture, entry: &Entry) -> bool {
        keep.may_store(capture, entry, self.key.base())
    }

    /// Stores a response whose body is whole.
    pub(super) async fn put(
        &self,
        keep: &Engine,
        capture: &Capture,
        entry: &Arc<Entry>,
        original: &ClientRequest,
    ) {
        let Content::Response(response) = &entry.content else {
            return;
        };
        let Ok(vary) = VaryFields::of(&response.headers, self.table_vary()) else {
            return;
        };
        if self.may_store(keep, capture, entry) {
            let request = &original.headers;
            let variant = (!vary.is_empty()).then(|| vary.variant(request, &response.headers));
            let mut asked = self.clone();
            asked.settle_key(keep, original, &response.headers);
            keep.put_response(&asked.key, variant.as_ref(), entry).await;
        }
    }

    /// Which variant of its key a stored response is, given the request that it answers.
    pub(super) fn variant(&self, entry: &Entry, request: &HeaderMap) -> Option<Variant> {
        let Content::Response(response) = &entry.content else {
            return None;
        };
        let vary = VaryFields::of(&response.headers, self.table_vary()).ok()?;
        (!vary.is_empty()).then(|| vary.variant(request, &response.headers))
    }

    /// Whether one answer may serve all who ask the same now.
    pub(super) fn collapses(&self) -> bool {
        let shape = self.traits.shape;
        let whole = self.route.is_some() || !(shape.conditional || shape.range);
        // Whether a query means the same can be told only once the answer is there.
        self.speaks_for_others()
            && whole
            && self.search.is_none()
            && !shape.head
            && !self.traits.directives.no_cache
    }
}

/// What an unlisted path's body, and a route's that says nothing, may have to be stored.
const DEFAULT_MAX_BODY: u64 = 1 << 20;
