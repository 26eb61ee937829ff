//! A request that may change stored representations, and the targets that it invalidates.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::Guard;
use http::{Method, Request, Response, request, response};
use serde_json::Value;

use super::{config::Config, outcome::WriteOutcome};
use crate::{
    engine::{
        acceptance::layer_check,
        core::Engine,
        snapshot::Snapshot,
        write_targets::{self, WriteTargets},
    },
    key::{Key, purge::PurgeTarget},
    message::{
        layer_markers::LayerMarkers, replayable_body::ReplayableBody, resumed_body::ResumedBody,
        target,
    },
    semantics::invalidation,
    table::{RoutePlan, Through},
    write_queue::Applying,
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
    /// Whether the inner service is known to get GETs as well.
    pub(super) inner_answers_get: bool,
    /// Set when the request's content fails before its end.
    content_failed: Arc<AtomicBool>,
    /// From [`InvalidateLayer::key`](super::InvalidateLayer::key).
    derived_key: Option<Key>,
}

impl WriteRequest {
    /// `None` if the request changes nothing, or another layer handles it. Otherwise marks the request
    /// as handled by this layer.
    ///
    /// A write-behind worker invalidates what the writes that it applies change, but does not know the
    /// keys that this layer derives.
    pub(super) fn of(
        config: &Arc<Config>,
        inner_answers_get: bool,
        parts: &mut request::Parts,
    ) -> Option<Self> {
        if invalidation::is_safe(&parts.method) || parts.method == Method::CONNECT {
            return None;
        }
        let engine = config.keep.engine();
        // By a worker of the same keep.
        let is_applied = parts.extensions.get::<Applying>().is_some()
            && LayerMarkers::of(&parts.extensions).invalidate == engine.id();
        if is_applied && config.key.is_none() {
            return None;
        }
        target::replace_host(parts);
        let snapshot = engine.snapshot.load();
        let target = engine.target(parts);
        if !write_targets::is_write(&snapshot.plan, target, &parts.method) {
            return None;
        }
        let routes = write_targets::routes(&snapshot.plan, target);
        if !is_applied && LayerMarkers::of(&parts.extensions).invalidate == engine.id() {
            engine.report_misuse("an InvalidateLayer is applied twice to the same request; the inner one does nothing");
            return None;
        }
        let user = engine.user(&snapshot, parts);
        let user = user.as_ref().map(|user| user.id());
        let changed = WriteTargets::new(engine.client_request(parts), user);
        let route = changed.route(&snapshot);
        let route = route.map(|matched| Arc::clone(matched.plan()));
        if let Some(route) = &route {
            layer_check::report_missing_layer(engine, route, &parts.extensions);
        }
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
            inner_answers_get,
            content_failed: Arc::default(),
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
        let replaces = matches!(*self.changed.method(), Method::PUT | Method::PATCH);
        let route = self.route.as_ref().filter(|_| replaces);
        route.and_then(|route| route.through())
    }

    /// The request with a body that reports to this write if it fails before its end.
    pub(super) fn watch_content<B: ReplayableBody>(&self, request: Request<B>) -> Request<B> {
        if request.body().is_end_stream() {
            return request;
        }
        request.map(|body| {
            let body = ResumedBody::new(VecDeque::new(), Box::pin(body));
            B::resume(body.reporting_failure(Arc::clone(&self.content_failed)))
        })
    }

    /// Whether the request's content has failed before its end (RFC 9112 section 8).
    pub(super) fn content_failed(&self) -> bool {
        self.content_failed.load(Ordering::Acquire)
    }

    /// Whether the handlers may commit parts of a request before they have its whole content.
    pub(super) fn has_partial_writes(&self) -> bool {
        self.routes.iter().any(|route| route.partial_writes)
    }

    /// The outcome by the head of a response that is not gRPC.
    pub(super) fn outcome(&self, head: &response::Parts) -> WriteOutcome {
        let by_status = WriteOutcome::of_http(head.status);
        let condition = self.config.invalidate_when.as_ref();
        let Some(is_committed) = condition.filter(|_| !self.routes.is_empty()) else {
            return by_status;
        };
        match (is_committed(head), by_status) {
            // A declaration stays open, because the write may still be committed later.
            (true, WriteOutcome::Unknown) => WriteOutcome::Unknown,
            (true, _) => WriteOutcome::Written,
            (false, WriteOutcome::Written) => WriteOutcome::NotDone,
            (false, WriteOutcome::Unknown) => WriteOutcome::Refused,
            (false, outcome) => outcome,
        }
    }

    /// The outcome of a write whose content may have ended early. A handler with partial writes may
    /// have committed a part, whatever it responds.
    pub(super) fn with_content(&self, outcome: WriteOutcome) -> WriteOutcome {
        let partial = self.content_failed() && self.has_partial_writes();
        match outcome {
            WriteOutcome::Refused | WriteOutcome::NotDone if partial => WriteOutcome::Unknown,
            outcome => outcome,
        }
    }

    /// The targets of the routes' `invalidates`, and the keys of the request's target. `fields` are
    /// those of the response's content; without them, `{answer.FIELD}` matches every value.
    pub(super) fn targets(&self, fields: Option<&Value>) -> Vec<PurgeTarget> {
        let mut targets = self.own_targets();
        targets.extend(
            self.changed
                .invalidates(&self.snapshot, fields)
                .into_iter()
                .flatten(),
        );
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The keys of the request's target.
    pub(super) fn own_targets(&self) -> Vec<PurgeTarget> {
        let derived = self.derived_key.as_ref();
        let derived = derived.map(|key| PurgeTarget::Key(key.as_str().into()));
        let targets = self.changed.targets(&self.snapshot).into_iter().flatten();
        targets.chain(derived).collect()
    }

    /// Reports the targets that are not invalidated because the request lacks their values.
    pub(super) fn report_skipped_targets(&self) {
        let Some(route) = self.routes.first() else {
            return;
        };
        let own = self.changed.targets(&self.snapshot).into_iter();
        let named = self.changed.invalidates(&self.snapshot, None);
        let skipped = own.chain(named).filter(Option::is_none).count();
        let reports = &self.engine().write_reports;
        reports.targets_skipped(skipped, &route.path);
    }

    /// The targets that the response's header fields name: groups, `Location` and `Content-Location`.
    pub(super) fn targets_of_response<B>(&self, response: &Response<B>) -> Vec<PurgeTarget> {
        let mut targets = self.changed.groups(response);
        targets.append(&mut self.changed.locations(&self.snapshot, response));
        targets
    }
}
