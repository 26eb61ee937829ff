//! Classifying a request: whether it is looked up, and under which key.

use http::{Method, request};

use super::{cache_request::CacheRequestRef, config::Config, request_source::RequestSource};
use crate::{
    engine::{acceptance::layer_check, core::Engine, snapshot::Snapshot, write_targets},
    key::KeyBuf,
    message::{layer_markers::LayerMarkers, target},
    semantics::{cache_status::Forward, invalidation},
    table::{Grpc, NoRoute, RouteMatch, RoutePlan, Unlisted},
};

/// The action of the cache on a request.
pub(super) enum RequestAction<'p> {
    /// Passes it on untouched, without a `Cache-Status` field.
    PassThrough,
    /// Passes it on and, if it succeeds, invalidates what it may have changed (RFC 9111 section
    /// 4.4).
    Invalidate,
    /// Passes it on; `Cache-Status` says why nothing is looked up or stored, some reasons by `detail`.
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
        let source = RequestSource::new(config, snapshot, parts, uri);
        match matched {
            _ if is_ambiguous => Self::unusable(source, is_untouched, "path"),
            Err(NoRoute::Host) => Self::unusable(source, is_untouched, "host"),
            Ok(matched) => Self::listed(source, &matched, key),
            Err(NoRoute::Path) => Self::unlisted(source, key),
        }
    }

    #[inline]
    fn listed(
        source: RequestSource<'_, 'p>,
        matched: &RouteMatch<'p>,
        key: &'p mut KeyBuf,
    ) -> Self {
        let (route, method) = (matched.plan(), &source.parts.method);
        // Checked before `Upgrade`: some clients send it on the first request of a connection, even
        // if that is a write.
        if !route.is_safe(method) {
            let extensions = &source.parts.extensions;
            layer_check::report_missing_layer(source.config.engine(), route, extensions);
            return Self::write(source, Some(route));
        }
        if source.is_upgrade() {
            return Self::PassThrough;
        }
        if !is_get_or_head(method) && !has_content_key(route, method) {
            return Self::Bypass(Forward::Method, None);
        }
        if route.key_names_host && source.has_ambiguous_host() {
            return Self::Bypass(Forward::Bypass, Some("host"));
        }
        if route.needs_body {
            return Self::ReadContent;
        }
        match source.by_route(matched, None, key) {
            Ok(request) => Self::LookUp(request),
            Err(error) => Self::Bypass(Forward::Bypass, error.detail()),
        }
    }

    /// Classifies a request that matches no route, by RFC 9111 alone.
    fn unlisted(source: RequestSource<'_, 'p>, key: &'p mut KeyBuf) -> Self {
        let method = &source.parts.method;
        if !invalidation::is_safe(method) {
            return Self::write(source, None);
        }
        if source.is_upgrade() {
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
        Self::LookUp(source.by_url(None, key))
    }

    /// Classifies a request whose target may be another resource than the table names: nothing is
    /// looked up or stored for it. `detail` says why. A read passes through if no route names its path and `unlisted` is
    /// `pass`.
    #[cold]
    fn unusable(source: RequestSource<'_, '_>, is_untouched: bool, detail: &'static str) -> Self {
        let (plan, method) = (source.plan(), &source.parts.method);
        let routes = write_targets::routes(plan, source.target());
        if write_targets::is_write(plan, source.target(), method) {
            return Self::write(source, routes.first().map(|route| &**route));
        }
        let has_content_key =
            invalidation::is_query(method) || routes.iter().any(|route| route.needs_body);
        if source.is_upgrade() || is_untouched || !is_get_or_head(method) && !has_content_key {
            return Self::PassThrough;
        }
        Self::Bypass(Forward::Bypass, Some(detail))
    }

    /// Classifies a write. With an `InvalidateLayer` above, it passes through, unless this layer
    /// derives keys in code, since only this layer can invalidate those. Without that layer, this one invalidates
    /// what RFC 9111 section 4.4 requires, the derived key and the response's groups, but not the
    /// route's `invalidates`.
    fn write(source: RequestSource<'_, '_>, route: Option<&RoutePlan>) -> Self {
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

/// Whether responses to a safe method other than GET and HEAD are stored, with the content as part of
/// their key: those to QUERY, to methods that the table names, and to a gRPC call. Others depend on fields
/// that no `Vary` names (`Depth` of PROPFIND), or must not be stored (OPTIONS, RFC 9110 section 9.3.7).
/// Nor to a method in lower case: a server may take `post` for POST or refuse it.
fn has_content_key(route: &RoutePlan, method: &Method) -> bool {
    let is_call = route.grpc == Some(Grpc::Read) && *method == Method::POST;
    let is_stored =
        invalidation::is_query(method) || is_call || route.safe_methods.contains(method);
    let is_lower_case = method
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_lowercase());
    route.needs_body && is_stored && !is_lower_case
}

#[inline]
fn is_get_or_head(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
