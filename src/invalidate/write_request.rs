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
    engine::{core::Engine, snapshot::Snapshot, write_targets::WriteTargets},
    key::{Key, purge::PurgeTarget},
    message::{
        layer_markers::LayerMarkers, replayable_body::ReplayableBody, resumed_body::ResumedBody,
    },
    semantics::invalidation,
    table::{RoutePlan, Through, Unlisted},
};

/// A request with an unsafe method, for a listed path or with `unlisted` other than `"pass"`.
pub(super) struct WriteRequest {
    pub(super) config: Arc<Config>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) route: Option<Arc<RoutePlan>>,
    pub(super) changed: WriteTargets,
    /// Whether the inner service is known to get GETs as well.
    pub(super) inner_answers_get: bool,
    /// Set when the request's content fails before its end.
    content_failed: Arc<AtomicBool>,
    /// From [`InvalidateLayer::key`](super::InvalidateLayer::key).
    derived_key: Option<Key>,
}

impl WriteRequest {
    /// `None` if the request changes nothing, or another layer handles it. Otherwise marks the
    /// request as handled by this layer.
    pub(super) fn of(
        config: &Arc<Config>,
        inner_answers_get: bool,
        parts: &mut request::Parts,
    ) -> Option<Self> {
        if invalidation::is_safe(&parts.method) || parts.method == Method::CONNECT {
            return None;
        }
        let engine = config.keep.engine();
        let snapshot = engine.snapshot.load();
        let target = engine.target(parts);
        let route = match snapshot.plan.route(target.path, target.host) {
            Some(matched) if matched.plan().is_safe(&parts.method) => return None,
            Some(matched) => Some(Arc::clone(matched.plan())),
            None if snapshot.plan.unlisted == Unlisted::Pass => return None,
            None => None,
        };
        if LayerMarkers::of(&parts.extensions).invalidate == engine.id() {
            engine.report_misuse("an InvalidateLayer is applied twice to the same request; the inner one does nothing");
            return None;
        }
        let user = engine.user(&snapshot, parts);
        let user = user.as_ref().map(|user| user.id());
        let changed = WriteTargets::new(engine.client_request(parts), user);
        let derive = config.key.as_ref().filter(|_| route.is_some());
        let derived_key = derive.and_then(|derive| derive(parts));
        LayerMarkers::mark(&mut parts.extensions, |markers| {
            markers.invalidate = engine.id();
        });
        Some(Self {
            config: Arc::clone(config),
            snapshot: Guard::into_inner(snapshot),
            route,
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
        let route = self.route.as_ref();
        route.is_some_and(|route| route.grpc.is_some())
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
        let route = self.route.as_ref();
        route.is_some_and(|route| route.partial_writes)
    }

    /// The outcome by the head of a response that is not gRPC.
    pub(super) fn outcome(&self, head: &response::Parts) -> WriteOutcome {
        let by_status = WriteOutcome::of_http(head.status);
        let condition = self.config.invalidate_when.as_ref();
        let Some(is_committed) = condition.filter(|_| self.route.is_some()) else {
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

    /// The targets of the route's `invalidates`, and the keys of the request's target. `fields` are
    /// those of the response's content; without them, `{answer.FIELD}` matches every value.
    pub(super) fn targets(&self, fields: Option<&Value>) -> Vec<PurgeTarget> {
        let mut targets = self.own_targets();
        targets.extend(self.named_targets(fields).into_iter().flatten());
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The keys of the request's target.
    pub(super) fn own_targets(&self) -> Vec<PurgeTarget> {
        let derived = self.derived_key.as_ref();
        let derived = derived.map(|key| PurgeTarget::Key(key.as_str().into()));
        let target = self.changed.target(&self.snapshot);
        target.into_iter().chain(derived).collect()
    }

    /// The targets of the route's `invalidates`; `None` for one whose values the request lacks.
    fn named_targets(&self, fields: Option<&Value>) -> Vec<Option<PurgeTarget>> {
        let matched = self.changed.route(&self.snapshot);
        matched.map_or_else(Vec::new, |matched| {
            matched.invalidates(&self.changed.inputs(), fields)
        })
    }

    /// Reports the targets that are not invalidated because the request lacks their values.
    pub(super) fn report_skipped_targets(&self) {
        let Some(route) = &self.route else {
            return;
        };
        let own = self.changed.target(&self.snapshot);
        let named = self.named_targets(None).into_iter();
        let skipped = named.chain([own]).filter(Option::is_none).count();
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
