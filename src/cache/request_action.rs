//! Classifying a request: whether it is looked up, and under which key.

use http::{Method, request};

use super::{
    cache_request::CacheRequestRef, config::Config, field_presence::FieldPresence,
    request_key::KeySource,
};
use crate::{
    engine::{core::Engine, snapshot::Snapshot},
    key::KeyBuf,
    message::{layer_markers::LayerMarkers, target},
    semantics::{cache_status::Forward, invalidation},
    table::{RouteMatch, RoutePlan, Unlisted},
};

/// The action of the cache on a request.
pub(super) enum RequestAction<'p> {
    /// Passes it on untouched, without a `Cache-Status` field.
    PassThrough,
    /// Passes it on and, if it succeeds, invalidates what it may have changed (RFC 9111 section
    /// 4.4).
    Invalidate,
    /// Passes it on; `Cache-Status` says why nothing is looked up or stored.
    Bypass(Forward),
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
        let matched = plan.route_for(uri.path(), || target::authority(uri, &parts.headers));
        // After a successful CONNECT the connection no longer carries HTTP.
        if matched.is_none() && plan.unlisted == Unlisted::Pass || parts.method == Method::CONNECT {
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
            Some(matched) => Self::listed(source, &matched, key),
            None => Self::unlisted(source, key),
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
        if source.fields.upgrade {
            return Self::PassThrough;
        }
        if source.has_ambiguous_host() {
            return Self::Bypass(Forward::Bypass);
        }
        if invalidation::is_query(method) {
            return Self::ReadContent;
        }
        if !is_get_or_head(method) {
            return Self::PassThrough;
        }
        Self::LookUp(source.url_key(None, key))
    }

    /// Classifies a write. With an `InvalidateLayer` above, it passes through, unless this layer
    /// derives keys in code: those it invalidates itself. Without that layer, this one invalidates
    /// what RFC 9111 section 4.4 requires, the derived key and the response's groups, but not the
    /// route's `invalidates`.
    fn write(source: KeySource<'_, '_>, route: Option<&RoutePlan>) -> Self {
        let engine = source.config.engine();
        let layer_above = LayerMarkers::of(&source.parts.extensions).invalidate;
        let has_invalidate_layer_above = layer_above == engine.id();
        if !has_invalidate_layer_above && let Some(route) = route {
            report_settings_without_effect(engine, route, layer_above != 0);
        }
        let derives_key = route.is_some() && source.config.key.is_some();
        if has_invalidate_layer_above && !derives_key {
            Self::PassThrough
        } else {
            Self::Invalidate
        }
    }
}

/// Reports a write that no `InvalidateLayer` of this keep handles, if the route has settings for that
/// layer.
fn report_settings_without_effect(engine: &Engine, route: &RoutePlan, has_other_keep: bool) {
    let settings = route.settings_of_invalidate_layer();
    if settings.is_empty() {
        return;
    }
    let settings = settings.join(", ");
    if has_other_keep {
        engine.report_misuse(format_args!(
            "a write reached a CacheLayer whose keep is not that of the InvalidateLayer above it; its path is invalidated, but the route's settings for writes have no effect on what this layer stores ({settings}): make one Keep, and all layers from it or its clones"
        ));
    } else {
        engine.report_misuse(format_args!(
            "a write reached a CacheLayer without an InvalidateLayer above it; its path is invalidated, but the route's settings for writes have no effect ({settings}): add an InvalidateLayer outside the CacheLayer"
        ));
    }
}

#[inline]
fn is_get_or_head(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
