//! What a request asks of the cache.

use std::{mem, sync::Arc};

use http::{HeaderMap, Method, Response, Uri, request};

use super::{
    answer::{self, Served, Shape},
    asked::{Asked, Sent},
    judge::{Judged, Traits, judge_at, standing},
    layer::Config,
    present::Present,
};
use crate::{
    engine::{
        core::Engine,
        hit::{Hit, Times},
        snapshot::Snapshot,
        tiers::Found,
    },
    identity::User,
    key::{KeyBuf, KeyInputs, url_key},
    message::{layer_markers::LayerMarkers, response_body::ResponseBody, target},
    semantics::{
        cache_control::RequestCacheControl, cache_status::Forward, invalidation,
        policy::SharingScope, sharing::Credentials,
    },
    table::{self, Plan, RouteMatch, RoutePlan, Unlisted},
};

/// The route that names a request's path; `None` if the request is not to be looked at any further.
#[inline]
pub(super) fn route<'p>(
    keep: &Engine,
    plan: &'p Plan,
    parts: &request::Parts,
) -> Option<Option<RouteMatch<'p>>> {
    let uri = keep.uri(&parts.uri, &parts.extensions);
    let host = || target::authority(uri, &parts.headers);
    let matched = plan.route_for(uri.path(), host);
    (matched.is_some() || plan.unlisted == Unlisted::Standard).then_some(matched)
}

/// What the cache has to do with a request.
pub(super) enum Ask<'p> {
    /// It passes, untouched.
    Nothing,
    /// It passes, and a success invalidates (RFC 9111 section 4.4).
    Invalidate,
    /// It is handled, but its answer neither comes from the store nor goes there.
    Bypass(Forward),
    /// Its key holds a hash of its body.
    Body,
    Stored(Glance<'p>),
}

/// A request and its key, while nothing of the request is owned.
pub(super) struct Glance<'p> {
    /// Written where it lies: it is too large to be moved about in a hit.
    key: &'p mut KeyBuf,
    pub(super) route: Option<&'p Arc<RoutePlan>>,
    user: Option<Box<str>>,
    candidate: Option<Found>,
    traits: Traits,
}

/// What the local tier says.
pub(super) enum Local<B> {
    Hit(Hit),
    Answer(Response<ResponseBody<B>>),
    /// An answer, and this caller is the one to refresh what is stored.
    Refresh(Response<ResponseBody<B>>),
    Nothing,
}

/// A request's head, and what decides what becomes of it.
///
/// It goes by value: what is pointed at must lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a, 'p> {
    config: &'a Config,
    snapshot: &'p Snapshot,
    parts: &'a request::Parts,
    /// As it was received.
    uri: &'a Uri,
    present: Present,
}

impl<'p> Ask<'p> {
    /// `matched` is the route of its path, if it has one. Writes the key into `key`.
    #[inline]
    pub(super) fn of(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        matched: Option<&RouteMatch<'p>>,
        key: &'p mut KeyBuf,
    ) -> Self {
        // What comes after such a request is not HTTP any more.
        if parts.method == Method::CONNECT {
            return Self::Nothing;
        }
        let asking = Asking::new(config, snapshot, parts);
        match matched {
            Some(matched) => asking.listed(matched, key),
            None => asking.unlisted(key),
        }
    }

    /// The same for a request whose content is at hand.
    pub(super) fn with_content(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        content: &[u8],
        key: &'p mut KeyBuf,
    ) -> Self {
        let asking = Asking::new(config, snapshot, parts);
        match snapshot.plan.route_for(asking.uri.path(), || asking.host()) {
            Some(matched) => asking.of_route(&matched, Some(content), key),
            None => asking.of_url(Some(content), key),
        }
    }

    /// What a GET of a path that no route names asks for, whatever this request's method.
    pub(super) fn of_url(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        key: &'p mut KeyBuf,
    ) -> Self {
        Asking::new(config, snapshot, parts).of_url(None, key)
    }
}

impl<'a, 'p> Asking<'a, 'p> {
    #[inline]
    fn new(config: &'a Config, snapshot: &'p Snapshot, parts: &'a request::Parts) -> Self {
        Self {
            config,
            snapshot,
            parts,
            uri: config.keep.engine().uri(&parts.uri, &parts.extensions),
            present: Present::of(&parts.headers),
        }
    }

    #[inline]
    fn listed(self, matched: &RouteMatch<'p>, key: &'p mut KeyBuf) -> Ask<'p> {
        let route = matched.plan();
        // A write is one whatever it offers: some clients offer an upgrade with every first request.
        if !route.is_safe(&self.parts.method) {
            return self.invalidate_below(Some(route));
        }
        if self.present.upgrade {
            return Ask::Nothing;
        }
        if !has_method(&self.parts.method, route.needs_body) {
            return Ask::Bypass(Forward::Method);
        }
        if route.key_names_host && target::has_ambiguous_host(self.uri, &self.parts.headers) {
            return Ask::Bypass(Forward::Bypass);
        }
        if route.needs_body {
            return Ask::Body;
        }
        self.of_route(matched, None, key)
    }

    /// The key that a route gives, its body at hand where the key needs it.
    #[inline]
    fn of_route(
        self,
        matched: &RouteMatch<'p>,
        body: Option<&[u8]>,
        key: &'p mut KeyBuf,
    ) -> Ask<'p> {
        let route = matched.plan();
        let scope = route.sharing();
        // Nobody asks who the user is where everybody gets the same answer.
        let user = match scope {
            SharingScope::Public if !route.key_names_user => None,
            _ => self.user(),
        };
        let user = user.as_ref().map(User::id);
        let host = route.key_names_host.then(|| self.host()).flatten();
        let version = self.snapshot.version(route.id);
        if matched
            .key(&self.inputs(host, user, body), version, key)
            .is_err()
        {
            return Ask::Bypass(Forward::Bypass);
        }
        if let Some(derive) = &self.config.key {
            match derive(self.parts) {
                Some(own) => key.replace_base(own.as_str()),
                None => return Ask::Bypass(Forward::Bypass),
            }
        }
        let obeys = route.request_directives == table::RequestDirectives::Obey;
        Ask::Stored(Glance {
            route: Some(route),
            user: user.map(Into::into),
            ..self.glance(user.is_some(), scope, obeys, key)
        })
    }

    /// A path that no route names: RFC 9111 alone.
    fn unlisted(self, key: &'p mut KeyBuf) -> Ask<'p> {
        let method = &self.parts.method;
        let safe = invalidation::is_safe(method);
        if safe && self.present.upgrade {
            return Ask::Nothing;
        }
        if safe && target::has_ambiguous_host(self.uri, &self.parts.headers) {
            return Ask::Bypass(Forward::Bypass);
        }
        if invalidation::is_query(method) {
            return Ask::Body;
        }
        match (has_method(method, false), safe) {
            (true, _) => self.of_url(None, key),
            (false, true) => Ask::Nothing,
            (false, false) => self.invalidate_below(None),
        }
    }

    /// The key of a URL, and of the content of a QUERY.
    fn of_url(self, body: Option<&[u8]>, key: &'p mut KeyBuf) -> Ask<'p> {
        url_key(&self.inputs(self.host(), None, None), None, key);
        if let Some(body) = body {
            key.push_content(&self.parts.headers, body);
        }
        let identified = self.user().is_some();
        Ask::Stored(self.glance(identified, SharingScope::Standard, true, key))
    }

    /// `obeys` the request's directives, if it has any.
    #[inline]
    fn glance(
        self,
        identified: bool,
        scope: SharingScope,
        obeys: bool,
        key: &'p mut KeyBuf,
    ) -> Glance<'p> {
        let directives = match self.present.directives && obeys {
            true => RequestCacheControl::parse(&self.parts.headers),
            false => RequestCacheControl::default(),
        };
        let traits = Traits {
            shape: Shape {
                head: self.parts.method == Method::HEAD,
                conditional: self.present.conditional,
                range: self.present.range,
            },
            directives,
            credentials: self.credentials(identified),
            scope,
        };
        Glance {
            key,
            route: None,
            user: None,
            candidate: None,
            traits,
        }
    }

    #[inline]
    fn credentials(self, identified: bool) -> Credentials {
        let claimed = || self.snapshot.claims_user(&self.parts.headers);
        self.present.credentials(identified || claimed())
    }

    fn user(self) -> Option<User<'a>> {
        self.config.keep.engine().user(self.snapshot, self.parts)
    }

    #[inline]
    fn host(self) -> Option<&'a str> {
        target::authority(self.uri, &self.parts.headers)
    }

    #[inline]
    fn inputs<'i>(
        self,
        host: Option<&'i str>,
        user: Option<&'i str>,
        body: Option<&'i [u8]>,
    ) -> KeyInputs<'i>
    where
        'a: 'i,
    {
        KeyInputs {
            host,
            path: self.uri.path(),
            query: self.uri.query(),
            headers: &self.parts.headers,
            user,
            body,
        }
    }

    /// An `InvalidateLayer` above does it better, unless this layer has a key of its own; without
    /// one it does what RFC 9111 section 4.4 asks. Most of what a route says of writes is for that
    /// layer to do.
    fn invalidate_below(self, route: Option<&RoutePlan>) -> Ask<'p> {
        let keep = self.config.keep.engine();
        let above = LayerMarkers::of(&self.parts.extensions).invalidate == keep.id();
        if !above && route.is_some_and(RoutePlan::needs_invalidate_layer) {
            keep.misused(
                "no InvalidateLayer stands above the CacheLayer, so a write makes its own path unusable and nothing else that the table says",
            );
        }
        let has_own_key = route.is_some() && self.config.key.is_some();
        if above && !has_own_key {
            Ask::Nothing
        } else {
            Ask::Invalidate
        }
    }
}

/// GET and HEAD, and any safe method whose content is in the key.
#[inline]
fn has_method(method: &Method, content_in_key: bool) -> bool {
    matches!(*method, Method::GET | Method::HEAD) || content_in_key
}

impl Glance<'_> {
    /// What the local tier says; what cannot be used as it is, is left as the candidate.
    #[inline(always)]
    pub(super) fn look<B>(&mut self, keep: &Engine, headers: &HeaderMap) -> Local<B> {
        let now = keep.clock.now();
        let Some(found) = keep.tiers.lookup_local(self.key, headers, now) else {
            return Local::Nothing;
        };
        let traits = &self.traits;
        let route = self.route.map(|route| &**route);
        let Some((stored, standing)) = standing(&found.entry, now) else {
            self.candidate = Some(found);
            return Local::Nothing;
        };
        let judged = judge_at(traits, route, found.verdict, stored, &standing);
        // Nearly every hit is such, and no other way leads to another answer.
        if judged == Judged::Fresh
            && traits.shape.is_unconditional()
            && !traits.shape.head
            && let Some(times) = Times::of_fresh(&found.entry, stored, &standing)
        {
            keep.metrics.hit_local.increment(1);
            return Local::Hit(Hit::new(found.entry, times));
        }
        let served = answer::judged(traits, &found.entry, judged, headers, now);
        let refresh = judged.wants_refresh() && found.entry.local.claim_refresh(now.mono);
        if served.is_some() {
            keep.metrics.hit_local.increment(1);
        }
        match served {
            Some(Served::Plain(times)) if !refresh => Local::Hit(Hit::new(found.entry, times)),
            Some(served) => {
                let answer = served.response(&found.entry);
                if !refresh {
                    return Local::Answer(answer);
                }
                self.candidate = Some(found);
                Local::Refresh(answer)
            }
            None => {
                self.candidate = Some(found);
                Local::Nothing
            }
        }
    }

    /// What was asked, for as long as it takes.
    pub(super) fn own(self, snapshot: &Arc<Snapshot>) -> Asked {
        Asked {
            traits: self.traits,
            key: mem::take(self.key),
            route: self.route.map(Arc::clone),
            snapshot: Arc::clone(snapshot),
            user: self.user,
            missed: Forward::UriMiss,
            candidate: self.candidate,
            sent: Sent::AsAsked,
            search: None,
        }
    }
}
