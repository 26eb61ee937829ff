//! A request that may be answered from the cache, and its key.

use std::{mem, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName};

use super::conditions::{RequestConditions, ResponseForm};
use crate::{
    engine::{core::Engine, snapshot::Snapshot, tiers::Found},
    key::KeyBuf,
    semantics::{
        cache_control::RequestCacheControl,
        cache_status::Forward,
        no_vary_search::QueryVariationRule,
        policy::StoragePolicy,
        sharing,
        storable::Refusal,
        stored::{StoredResponse, Variant},
        vary::VaryFields,
    },
    store::entry::Entry,
    table::RoutePlan,
};

/// A request while it is looked up in the local tier, borrowed so that a hit copies nothing.
pub(super) struct CacheRequestRef<'p> {
    pub(super) key: &'p mut KeyBuf,
    pub(super) route: Option<&'p Arc<RoutePlan>>,
    pub(super) user: Option<Box<str>>,
    pub(super) conditions: RequestConditions,
}

impl CacheRequestRef<'_> {
    /// `candidate` is what the local tier holds but could not answer with.
    pub(super) fn into_owned(
        self,
        snapshot: &Arc<Snapshot>,
        candidate: Option<Found>,
    ) -> CacheRequest {
        CacheRequest {
            conditions: self.conditions,
            key: mem::take(self.key),
            route: self.route.map(Arc::clone),
            snapshot: Arc::clone(snapshot),
            user: self.user,
            miss_reason: Forward::UriMiss,
            candidate,
            forwarded_form: ForwardedForm::Unchanged,
            query_rule: None,
        }
    }
}

/// A request and its key, owned for as long as the inner service takes.
#[derive(Clone)]
pub(super) struct CacheRequest {
    pub(super) conditions: RequestConditions,
    pub(super) key: KeyBuf,
    pub(super) route: Option<Arc<RoutePlan>>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The user that the key or the tags name.
    pub(super) user: Option<Box<str>>,
    /// Why the request is forwarded if there is no candidate.
    pub(super) miss_reason: Forward,
    /// A stored response that cannot be used without asking the inner service.
    pub(super) candidate: Option<Found>,
    pub(super) forwarded_form: ForwardedForm,
    /// The `No-Vary-Search` rule that produced `key`; `None` if the raw query did.
    pub(super) query_rule: Option<Arc<QueryVariationRule>>,
}

/// How the request to the inner service differs from the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForwardedForm {
    Unchanged,
    /// Without the client's preconditions and range.
    Unconditional,
    /// With preconditions that validate the candidate in place of the client's.
    Validating,
}

impl CacheRequest {
    /// The same request for the whole response, without one client's directives.
    pub(super) fn for_refresh(mut self) -> Self {
        self.conditions.form = ResponseForm::WHOLE;
        self.conditions.directives = RequestCacheControl::default();
        self
    }

    pub(super) fn candidate_response(&self) -> Option<(&Arc<Entry>, &StoredResponse)> {
        let entry = &self.candidate.as_ref()?.entry;
        Some((entry, entry.response()?))
    }

    /// Why the request is forwarded to the inner service (RFC 9211 section 2.2).
    pub(super) fn forward_reason(&self) -> Forward {
        match self.candidate_response() {
            None => self.miss_reason,
            Some((_, response)) if response.part.is_some() => Forward::Partial,
            Some(_) if self.conditions.directives.no_cache => Forward::Request,
            Some(_) => Forward::Stale,
        }
    }

    /// Whether other clients would get the same response.
    pub(super) fn shares_its_response(&self) -> bool {
        sharing::may_collapse(self.conditions.credentials, self.conditions.scope)
            && !self.conditions.directives.no_store
    }

    /// Lets other requests not wait for the response to one with this key, for a while.
    pub(super) fn note_uncacheable(&self, engine: &Engine) {
        let now = engine.clock.mono();
        engine
            .uncacheable
            .insert(self.key.as_str(), now, UNCACHEABLE_FOR);
    }

    /// Whether the request may wait for the response to an identical one.
    pub(super) fn may_collapse(&self) -> bool {
        let form = self.conditions.form;
        let wants_whole = self.route.is_some() || form.is_unconditional();
        // Whether queries are equivalent is known only once the response is there.
        self.shares_its_response()
            && wants_whole
            && self.query_rule.is_none()
            && !form.head
            && !self.conditions.directives.no_cache
    }

    /// What the table says about the responses.
    pub(super) fn policy(&self) -> StoragePolicy<'_> {
        self.snapshot.policy(self.route.as_deref())
    }

    pub(super) fn max_body(&self) -> usize {
        let route = self.route.as_ref().map(|route| route.max_body);
        usize::try_from(route.unwrap_or(DEFAULT_MAX_BODY)).unwrap_or(usize::MAX)
    }

    /// Whether some tags name fields of the response's content.
    pub(super) fn tags_need_content(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| route.tags_need_answer())
    }

    /// The fields that select a stored response, by the response and by the table; `None` if nothing
    /// selects it again (`Vary: *`).
    pub(super) fn vary_fields(&self, response: &StoredResponse) -> Option<VaryFields> {
        let table: &[HeaderName] = self.route.as_ref().map_or(&[], |route| &route.vary);
        VaryFields::of(&response.headers, table).ok()
    }

    /// The variant of its key that an entry is as the response to a request with these fields.
    pub(super) fn variant(&self, entry: &Entry, request: &HeaderMap) -> Option<Variant> {
        let response = entry.response()?;
        let vary = self.vary_fields(response)?;
        (!vary.is_empty()).then(|| vary.variant(request, &response.headers))
    }

    /// Removes an entry that the inner service has superseded by a response that is not stored.
    pub(super) async fn remove_superseded(
        &self,
        engine: &Engine,
        entry: &Arc<Entry>,
        request: &HeaderMap,
        refusal: Refusal,
    ) {
        // A refusal that depends on this client's credentials does not concern other clients.
        if refusal != Refusal::Credentials && self.shares_its_response() {
            engine
                .tiers
                .remove_response(&self.key, request, entry)
                .await;
        }
    }
}

/// How long requests do not wait for a key's response after one that could not be shared.
const UNCACHEABLE_FOR: Duration = Duration::from_secs(10);

/// The longest body that is stored, in bytes, where the table does not say.
const DEFAULT_MAX_BODY: u64 = 1 << 20;
