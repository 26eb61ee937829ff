//! Classifying a request: whether it is looked up, and under which key.

use http::{Method, request};

use super::{cache_request::CacheRequestRef, config::Config, request_key::KeySource};
use crate::{
    engine::{core::Engine, snapshot::Snapshot},
    key::KeyBuf,
    message::{layer_markers::LayerMarkers, target},
    semantics::{cache_status::Forward, invalidation},
    table::{Plan, RouteMatch, RoutePlan, Unlisted},
};

/// Finds the route of a request.
///
/// `None` if the request is passed on without being classified; `Some(None)` if no route matches,
/// and HTTP alone decides.
#[inline]
pub(super) fn find_route<'p>(
    engine: &Engine,
    plan: &'p Plan,
    parts: &request::Parts,
) -> Option<Option<RouteMatch<'p>>> {
    let uri = engine.uri(&parts.uri, &parts.extensions);
    let host = || target::authority(uri, &parts.headers);
    let matched = plan.route_for(uri.path(), host);
    (matched.is_some() || plan.unlisted == Unlisted::Standard).then_some(matched)
}

/// What the cache does with a request.
pub(super) enum RequestAction<'p> {
    /// Passes it on untouched.
    Pass,
    /// Passes it on, and invalidates if it succeeds (RFC 9111 section 4.4).
    Invalidate,
    /// Passes it on, and reports why its response is neither looked up nor stored.
    Bypass(Forward),
    /// Reads its content, which is part of its key.
    ReadContent,
    /// Looks it up.
    LookUp(CacheRequestRef<'p>),
}

impl<'p> RequestAction<'p> {
    /// Classifies a request with its route, if it has one, and writes its key to `key`.
    #[inline]
    pub(super) fn of(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        matched: Option<&RouteMatch<'p>>,
        key: &'p mut KeyBuf,
    ) -> Self {
        // After a successful CONNECT the connection no longer carries HTTP.
        if parts.method == Method::CONNECT {
            return Self::Pass;
        }
        let source = KeySource::new(config, snapshot, parts);
        match matched {
            Some(matched) => Self::listed(source, matched, key),
            None => Self::unlisted(source, key),
        }
    }

    #[inline]
    fn listed(source: KeySource<'_, 'p>, matched: &RouteMatch<'p>, key: &'p mut KeyBuf) -> Self {
        let (route, method) = (matched.plan(), &source.parts.method);
        // Before upgrades, for some clients offer one with every first request, writes included.
        if !route.is_safe(method) {
            return Self::write(source, Some(route));
        }
        if source.presence.upgrade {
            return Self::Pass;
        }
        if !is_get_or_head(method) && !route.needs_body {
            return Self::Bypass(Forward::Method);
        }
        if route.key_names_host && source.has_ambiguous_host() {
            return Self::Bypass(Forward::Bypass);
        }
        if route.needs_body {
            return Self::ReadContent;
        }
        match source.route_key(matched, None, key) {
            Some(request) => Self::LookUp(request),
            None => Self::Bypass(Forward::Bypass),
        }
    }

    /// Classifies a request that matches no route, by RFC 9111 alone.
    fn unlisted(source: KeySource<'_, 'p>, key: &'p mut KeyBuf) -> Self {
        let method = &source.parts.method;
        if !invalidation::is_safe(method) {
            return Self::write(source, None);
        }
        if source.presence.upgrade {
            return Self::Pass;
        }
        if source.has_ambiguous_host() {
            return Self::Bypass(Forward::Bypass);
        }
        if invalidation::is_query(method) {
            return Self::ReadContent;
        }
        if !is_get_or_head(method) {
            return Self::Pass;
        }
        Self::LookUp(source.url_key(None, key))
    }

    /// Classifies a write. An `InvalidateLayer` above invalidates what it changes, unless this
    /// layer derives keys itself. Without one, this layer does what RFC 9111 section 4.4 requires,
    /// and nothing else that the table says about writes.
    fn write(source: KeySource<'_, '_>, route: Option<&RoutePlan>) -> Self {
        let engine = source.config.engine();
        let is_below_layer = LayerMarkers::of(&source.parts.extensions).invalidate == engine.id();
        if !is_below_layer && route.is_some_and(RoutePlan::needs_invalidate_layer) {
            engine.misused(
                "a write has no InvalidateLayer above its CacheLayer: it invalidates its own path, and nothing else that the table says; add an InvalidateLayer",
            );
        }
        let derives_key = route.is_some() && source.config.key.is_some();
        if is_below_layer && !derives_key {
            Self::Pass
        } else {
            Self::Invalidate
        }
    }
}

#[inline]
fn is_get_or_head(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
