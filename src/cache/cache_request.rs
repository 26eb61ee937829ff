//! A request that may be answered from the cache, and its key.

use std::{mem, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Method};

use super::request_constraints::RequestConstraints;
use crate::{
    clock::Timestamp,
    engine::{core::Engine, snapshot::Snapshot, tiers::FoundEntry},
    fence::verdict::Verdict,
    key::KeyBuf,
    semantics::{
        cache_control::RequestCacheControl,
        cache_status::Forward,
        freshness::{self, Lifetime, Usability},
        no_vary_search::SearchVariance,
        sharing,
        storage_policy::StoragePolicy,
        stored_response::{StoredResponse, Variant},
        vary::VaryFields,
    },
    store::{entry::Entry, position::Position},
    table::{DEFAULT_MAX_BODY, RoutePlan},
};

/// A request while it is looked up in the local tier, borrowed so that a hit copies nothing.
pub(super) struct CacheRequestRef<'p> {
    pub(super) key: &'p mut KeyBuf,
    pub(super) route: Option<&'p Arc<RoutePlan>>,
    pub(super) user: Option<Box<str>>,
    pub(super) constraints: RequestConstraints,
    /// The layer's TTL for paths that no route names.
    pub(super) unlisted_ttl: Option<Duration>,
}

impl CacheRequestRef<'_> {
    /// `candidate` is the stored entry that a call of the inner service may validate, update or
    /// complete.
    pub(super) fn into_owned(
        self,
        snapshot: &Arc<Snapshot>,
        candidate: Option<FoundEntry>,
    ) -> CacheRequest {
        CacheRequest {
            constraints: self.constraints,
            key: mem::take(self.key),
            route: self.route.map(Arc::clone),
            snapshot: Arc::clone(snapshot),
            user: self.user,
            unlisted_ttl: self.unlisted_ttl,
            miss_reason: Forward::UriMiss,
            candidate,
            refuted: None,
            is_refresh: false,
            forwarded_form: ForwardedForm::Unchanged,
            search_variance: None,
            required: None,
        }
    }
}

/// An owned [`CacheRequestRef`], kept while the inner service is called.
#[derive(Clone)]
pub(super) struct CacheRequest {
    pub(super) constraints: RequestConstraints,
    pub(super) key: KeyBuf,
    pub(super) route: Option<Arc<RoutePlan>>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The user, if the key or the tags may contain it.
    pub(super) user: Option<Box<str>>,
    /// The layer's TTL for paths that no route names.
    pub(super) unlisted_ttl: Option<Duration>,
    /// Why the request is forwarded if there is no candidate.
    pub(super) miss_reason: Forward,
    /// A stored response that a call of the inner service may validate, update or complete.
    pub(super) candidate: Option<FoundEntry>,
    /// A former candidate that the inner service has not confirmed, or a stored response that is older
    /// than an outer layer demands.
    pub(super) refuted: Option<FoundEntry>,
    /// Set for a refresh in the background and a refetch after a write: no client waits for the
    /// response, and an error does not replace the stored response.
    pub(super) is_refresh: bool,
    pub(super) forwarded_form: ForwardedForm,
    /// The `No-Vary-Search` rule that produced `key`; `None` on a route, or if `key` contains the
    /// query as received.
    pub(super) search_variance: Option<Arc<SearchVariance>>,
    /// The position that a stored or shared response must include, if an outer layer demands one.
    pub(super) required: Option<Position>,
}

/// Which of the client's preconditions and range the request to the inner service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ForwardedForm {
    /// All of them; the cache may have added a range, or validators if the client sent none.
    Unchanged,
    /// None of them.
    Unconditional,
    /// None of its preconditions, but the cache's own, which validate the candidate.
    Validating,
}

impl CacheRequest {
    /// Whether the response's `No-Vary-Search` decides which queries share a key. On a route, the table's
    /// `query` settings decide instead; QUERY has its content in the key. POST is included because its
    /// response may answer a later GET.
    pub(super) fn uses_no_vary_search(&self, method: &Method) -> bool {
        self.route.is_none() && matches!(*method, Method::GET | Method::HEAD | Method::POST)
    }

    /// Whether the entry's own `No-Vary-Search` states the rule by which its key was found: if not, the
    /// entry does not answer this query.
    pub(super) fn has_same_search_variance(&self, entry: &Entry) -> bool {
        self.search_variance.as_deref().is_none_or(|rule| {
            let fields = entry.response().map(|response| &response.headers);
            fields.and_then(SearchVariance::of).as_ref() == Some(rule)
        })
    }

    /// Whether the request is for a path with `grpc = "read"` in the table.
    pub(super) fn is_grpc_read(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| route.is_grpc_read())
    }

    /// Makes an entry that cannot be used as it is the candidate, unless it is too old to be validated
    /// for this request.
    pub(super) fn set_candidate(&mut self, found: FoundEntry) {
        match self.is_recent_enough(&found.entry) {
            true => self.candidate = Some(found),
            false => self.refuted = Some(found),
        }
    }

    /// Whether the entry is as recent as an outer layer demands.
    pub(super) fn is_recent_enough(&self, entry: &Entry) -> bool {
        (self.required).is_none_or(|required| entry.position.includes(required))
    }

    pub(super) fn candidate_response(&self) -> Option<(&Arc<Entry>, &StoredResponse)> {
        let entry = &self.candidate.as_ref()?.entry;
        Some((entry, entry.response()?))
    }

    /// The stored response that was found for the request, whether or not the inner service may
    /// still confirm it.
    pub(super) fn found(&self) -> Option<&FoundEntry> {
        let found = self.candidate.as_ref().or(self.refuted.as_ref());
        found.filter(|found| found.entry.response().is_some())
    }

    /// Why the request was forwarded to the inner service at `time` (RFC 9211 section 2.2).
    pub(super) fn forward_reason(&self, time: Timestamp) -> Forward {
        let found = self.found();
        let Some((found, response)) =
            found.and_then(|found| Some((found, found.entry.response()?)))
        else {
            return self.miss_reason;
        };
        let lifetime = &response.lifetime;
        let is_fresh = found.verdict == Verdict::Usable
            && !lifetime.no_cache
            && lifetime.remaining(time.since(found.entry.stored)).is_some();
        match response.part {
            Some(_) => Forward::Partial,
            // The request's directives or its credentials do not allow the use of the response.
            None if is_fresh => Forward::Request,
            None => Forward::Stale,
        }
    }

    /// Whether other clients would get the same response.
    pub(super) fn shares_its_response(&self) -> bool {
        sharing::may_collapse(self.constraints.credentials, self.constraints.scope)
            && !self.constraints.directives.no_store
    }

    /// Marks the key, so that for a while no request waits for the response to another one.
    pub(super) fn note_hit_for_miss(&self, engine: &Engine) {
        let (key, now) = (self.key.as_str(), engine.clock.mono());
        engine.shareable.remove(key);
        engine.hit_for_miss.insert(key, now, HIT_FOR_MISS_TTL);
    }

    /// Marks the key of an unlisted path, so that its requests wait for the response to another one,
    /// if later requests can use a response with this lifetime.
    pub(super) fn note_shareable(&self, engine: &Engine, lifetime: &Lifetime) {
        if self.route.is_none() && is_shareable(lifetime) {
            let now = engine.clock.mono();
            engine
                .shareable
                .insert(self.key.as_str(), now, Duration::MAX);
        }
    }

    /// Whether other requests should wait for the response to this one, because they will probably be
    /// able to use it: on a route always, on an unlisted path once such a response has been seen.
    pub(super) fn expects_shareable_response(&self, engine: &Engine) -> bool {
        let is_seen = || {
            let known = self.candidate_response();
            known.is_some_and(|(_, response)| is_shareable(&response.lifetime))
                || (engine.shareable).contains(self.key.as_str(), engine.clock.mono())
        };
        self.route.is_some() || is_seen()
    }

    /// Whether the request may wait for the response to an identical one.
    pub(super) fn may_collapse(&self) -> bool {
        let form = self.constraints.form;
        // The layer evaluates preconditions itself.
        let wants_whole = self.route.is_some() || !form.range;
        // Not under a key that a `No-Vary-Search` rule made: only the response tells whether the rule
        // still applies.
        self.shares_its_response()
            && wants_whole
            && self.search_variance.is_none()
            && !form.head
            && !self.constraints.directives.no_cache
    }

    /// The storage policy for the responses to this request.
    pub(super) fn policy(&self) -> StoragePolicy<'_> {
        self.snapshot
            .policy(self.route.as_deref(), self.unlisted_ttl)
    }

    pub(super) fn max_body(&self) -> usize {
        let route = self.route.as_ref().map(|route| route.max_body);
        usize::try_from(route.unwrap_or(DEFAULT_MAX_BODY)).unwrap_or(usize::MAX)
    }

    /// The request fields that select the response: those in its `Vary` and in the route's `vary`.
    /// `None` if no request selects it (`Vary: *`).
    pub(super) fn vary_fields(&self, response: &StoredResponse) -> Option<VaryFields> {
        let table: &[HeaderName] = self.route.as_ref().map_or(&[], |route| &route.vary);
        VaryFields::of(&response.headers, table).ok()
    }

    /// The variant under which `entry` is stored for a request with these fields; `None` if the
    /// response does not vary.
    pub(super) fn variant(&self, entry: &Entry, request: &HeaderMap) -> Option<Variant> {
        let response = entry.response()?;
        let vary = self.vary_fields(response)?;
        (!vary.is_empty()).then(|| vary.variant(request, &response.headers))
    }
}

/// Whether requests that wait for a response with this lifetime can use it without validating it.
pub(super) fn is_shareable(lifetime: &Lifetime) -> bool {
    let directives = RequestCacheControl::default();
    let at_first = freshness::usable(lifetime, Duration::ZERO, &directives);
    !matches!(at_first, Usability::Validate { .. })
}

/// How long requests for a key do not wait for each other after a response that could not be
/// shared.
const HIT_FOR_MISS_TTL: Duration = Duration::from_secs(10);
