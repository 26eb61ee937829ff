//! Classifying a request: whether it is looked up, and under which key.

use http::{Method, request};

use super::{
    cache_request::CacheRequestRef, config::Config, field_presence::FieldPresence,
    request_key::KeySource,
};
use crate::{
    engine::{core::Engine, snapshot::Snapshot, write_targets},
    key::KeyBuf,
    message::{layer_markers::LayerMarkers, target},
    semantics::{cache_status::Forward, invalidation},
    table::{NoRoute, RouteMatch, RoutePlan, Unlisted},
};

/// The action of the cache on a request.
pub(super) enum RequestAction<'p> {
    /// Passes it on untouched, without a `Cache-Status` field.
    PassThrough,
    /// Passes it on and, if it succeeds, invalidates what it may have changed (RFC 9111 section
    /// 4.4).
    Invalidate,
    /// Passes it on; `Cache-Status` says why nothing is looked up or stored, with a word for `detail`.
    Bypass(Forward, Option<&'static str>),
    /// Reads its content, which is part of its key.
    ReadContent,
    /// Looks it up.
    LookUp(CacheRequestRef<'p>),
}

impl<'p> RequestAction<'p> {
    /// Classifies a request, and writes its key to `key`.
    #[inline]
    pub(super) fn classify(
        config: &Config,
        snapshot: &'p Snapshot,
        parts: &request::Parts,
        key: &'p mut KeyBuf,
    ) -> Self {
        let (plan, uri) = (
            &snapshot.plan,
            config.engine().uri(&parts.uri, &parts.extensions),
        );
        let matched = plan.find_route(uri.path(), || target::authority(uri, &parts.headers));
        let is_ambiguous = plan.is_ambiguous(uri.path());
        let is_untouched = matches!(matched, Err(NoRoute::Path)) && plan.unlisted == Unlisted::Pass;
        // After a successful CONNECT the connection no longer carries HTTP.
        if is_untouched && !is_ambiguous || parts.method == Method::CONNECT {
            return Self::PassThrough;
        }
        let source = KeySource::new(
            config,
            snapshot,
            parts,
            uri,
            FieldPresence::of(&parts.headers),
        );
        match matched {
            _ if is_ambiguous => Self::unusable(source, is_untouched, "path"),
            Err(NoRoute::Host) => Self::unusable(source, is_untouched, "host"),
            Ok(matched) => Self::listed(source, &matched, key),
            Err(NoRoute::Path) => Self::unlisted(source, key),
        }
    }

    #[inline]
    fn listed(source: KeySource<'_, 'p>, matched: &RouteMatch<'p>, key: &'p mut KeyBuf) -> Self {
        let (route, method) = (matched.plan(), &source.parts.method);
        // Checked before `Upgrade`: some clients send it on the first request of a connection, even
        // if that is a write.
        if !route.is_safe(method) {
            return Self::write(source, Some(route));
        }
        if source.fields.upgrade {
            return Self::PassThrough;
        }
        if !is_get_or_head(method) && !route.needs_body {
            return Self::Bypass(Forward::Method, None);
        }
        if route.key_names_host && source.has_ambiguous_host() {
            return Self::Bypass(Forward::Bypass, Some("host"));
        }
        if route.needs_body {
            return Self::ReadContent;
        }
        match source.route_key(matched, None, key) {
            Some(request) => Self::LookUp(request),
            None => Self::Bypass(Forward::Bypass, None),
        }
    }

    /// Classifies a request that matches no route, by RFC 9111 alone.
    fn unlisted(source: KeySource<'_, 'p>, key: &'p mut KeyBuf) -> Self {
        let method = &source.parts.method;
        if !invalidation::is_safe(method) {
            return Self::write(source, None);
        }
        if source.fields.upgrade {
            return Self::PassThrough;
        }
        if source.has_ambiguous_host() {
            return Self::Bypass(Forward::Bypass, Some("host"));
        }
        if invalidation::is_query(method) {
            return Self::ReadContent;
        }
        if !is_get_or_head(method) {
            return Self::PassThrough;
        }
        Self::LookUp(source.url_key(None, key))
    }

    /// Classifies a request whose target may be another resource than the table names: nothing is
    /// looked up or stored for it. `detail` says why. A read of an untouched path passes through.
    #[cold]
    fn unusable(source: KeySource<'_, '_>, is_untouched: bool, detail: &'static str) -> Self {
        let (plan, method) = (source.plan(), &source.parts.method);
        let routes = write_targets::routes(plan, source.target());
        if write_targets::is_write(plan, source.target(), method) {
            return Self::write(source, routes.first().map(|route| &**route));
        }
        let has_content_key =
            invalidation::is_query(method) || routes.iter().any(|route| route.needs_body);
        if source.fields.upgrade || is_untouched || !is_get_or_head(method) && !has_content_key {
            return Self::PassThrough;
        }
        Self::Bypass(Forward::Bypass, Some(detail))
    }

    /// Classifies a write. With an `InvalidateLayer` above, it passes through, unless this layer
    /// derives keys in code: those it invalidates itself. Without that layer, this one invalidates
    /// what RFC 9111 section 4.4 requires, the derived key and the response's groups, but not the
    /// route's `invalidates`.
    fn write(source: KeySource<'_, '_>, route: Option<&RoutePlan>) -> Self {
        let engine = source.config.engine();
        let has_invalidate_layer_above =
            LayerMarkers::of(&source.parts.extensions).invalidate == engine.id();
        if !has_invalidate_layer_above && let Some(route) = route {
            report_settings_without_effect(engine, route);
        }
        let derives_key = route.is_some() && source.config.key.is_some();
        if has_invalidate_layer_above && !derives_key {
            Self::PassThrough
        } else {
            Self::Invalidate
        }
    }
}

/// Reports a write that no `InvalidateLayer` handles, if the route has settings for that layer.
fn report_settings_without_effect(engine: &Engine, route: &RoutePlan) {
    let settings = route.settings_of_invalidate_layer();
    if !settings.is_empty() {
        engine.report_misuse(format_args!(
            "a write reached a CacheLayer without an InvalidateLayer above it; its path is invalidated, but the route's settings for writes have no effect ({}): add an InvalidateLayer outside the CacheLayer",
            settings.join(", ")
        ));
    }
}

#[inline]
fn is_get_or_head(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
