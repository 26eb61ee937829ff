//! A request that may change stored representations, and the targets that it invalidates.

use std::sync::Arc;

use arc_swap::Guard;
use http::{Method, Response, request};
use serde_json::Value;

use super::config::Config;
use crate::{
    engine::{
        core::Engine,
        snapshot::Snapshot,
        write_targets::{self, WriteTargets},
    },
    key::{Key, purge::PurgeTarget},
    message::{layer_markers::LayerMarkers, target},
    semantics::invalidation,
    table::{RoutePlan, Through, Write},
};

/// A request with an unsafe method, for a listed path or with `unlisted` other than `"pass"`.
pub(super) struct WriteRequest {
    pub(super) config: Arc<Config>,
    pub(super) snapshot: Arc<Snapshot>,
    /// The route whose stored response the write may replace.
    pub(super) route: Option<Arc<RoutePlan>>,
    /// The routes that the inner service may read from the request's target.
    pub(super) routes: Vec<Arc<RoutePlan>>,
    pub(super) changed: WriteTargets,
    /// From [`InvalidateLayer::key`](super::InvalidateLayer::key).
    derived_key: Option<Key>,
}

impl WriteRequest {
    /// `None` if the request changes nothing, or another layer handles it. Otherwise marks the
    /// request as handled by this layer.
    pub(super) fn of(config: &Arc<Config>, parts: &mut request::Parts) -> Option<Self> {
        if invalidation::is_safe(&parts.method) || parts.method == Method::CONNECT {
            return None;
        }
        target::replace_host(parts);
        let engine = config.keep.engine();
        let snapshot = engine.snapshot.load();
        let target = engine.target(parts);
        if !write_targets::is_write(&snapshot.plan, target, &parts.method) {
            return None;
        }
        let routes = write_targets::routes(&snapshot.plan, target);
        if LayerMarkers::of(&parts.extensions).invalidate == engine.id() {
            engine.report_misuse("an InvalidateLayer is applied twice to the same request; the inner one does nothing");
            return None;
        }
        let user = engine.user(&snapshot, parts);
        let user = user.as_ref().map(|user| user.id());
        let changed = WriteTargets::new(engine.client_request(parts), user);
        let route = changed.route(&snapshot);
        let route = route.map(|matched| Arc::clone(matched.plan()));
        let derive = config.key.as_ref().filter(|_| !routes.is_empty());
        let derived_key = derive.and_then(|derive| derive(parts));
        LayerMarkers::mark(&mut parts.extensions, |markers| {
            markers.invalidate = engine.id();
        });
        Some(Self {
            config: Arc::clone(config),
            snapshot: Guard::into_inner(snapshot),
            route,
            routes,
            changed,
            derived_key,
        })
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        self.config.keep.engine()
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.routes.iter().any(|route| route.grpc.is_some())
    }

    /// How write-through replaces the stored response; `None` without write-through.
    pub(super) fn through(&self) -> Option<Through> {
        let route = self.route.as_ref()?;
        let replaces = matches!(*self.changed.method(), Method::PUT | Method::PATCH);
        let through = route.write == Write::Through && replaces && !route.needs_body;
        (through && route.grpc.is_none()).then_some(route.through)
    }

    /// The targets of the routes' `invalidates`, and the keys of the request's target. `fields` are
    /// those of the response's content; without them, `{answer.FIELD}` matches every value.
    pub(super) fn targets(&self, fields: Option<&Value>) -> Vec<PurgeTarget> {
        let mut targets = self.changed.invalidates(&self.snapshot, fields);
        targets.append(&mut self.changed.targets(&self.snapshot));
        let derived = self.derived_key.as_ref();
        targets.extend(derived.map(|key| PurgeTarget::Key(key.as_str().into())));
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The targets that the response's header fields name: groups, `Location` and `Content-Location`.
    pub(super) fn targets_of_response<B>(&self, response: &Response<B>) -> Vec<PurgeTarget> {
        let mut targets = self.changed.groups(response);
        targets.append(&mut self.changed.locations(&self.snapshot, response));
        targets
    }
}
