//! Classifying a request: whether its write is put into the queue.

use http::{Method, request};

use super::status;
use crate::{
    engine::{
        acceptance::{accept::queues_writes, not_accepted::NotAccepted},
        core::Engine,
        snapshot::Snapshot,
    },
    key::PathReadings,
    message::layer_markers::LayerMarkers,
    semantics::invalidation,
    table::Plan,
    write_queue::Applying,
};

/// The action of the layer on a request.
#[derive(Debug)]
pub(super) enum WriteAction {
    /// Passes it on untouched.
    PassThrough,
    /// Passes a write on, since this keep has no queue.
    ApplyAtOnce,
    /// Puts the write into the queue.
    Accept,
    /// Refuses the write.
    Refuse(NotAccepted),
    /// Answers with the status of a write.
    ShowStatus,
}

impl WriteAction {
    pub(super) fn classify(engine: &Engine, snapshot: &Snapshot, parts: &request::Parts) -> Self {
        let (plan, target) = (&snapshot.plan, engine.target(parts));
        if status::is_status_path(&plan.behind.status_path, target.path) {
            return Self::ShowStatus;
        }
        let method = &parts.method;
        if invalidation::is_safe(method) || *method == Method::CONNECT {
            return Self::PassThrough;
        }
        let is_ambiguous = plan.is_ambiguous(target.path);
        let is_behind = match is_ambiguous {
            true => PathReadings::of(target.path)
                .iter()
                .any(|path| queues(plan, path, target.host, method)),
            false => queues(plan, target.path, target.host, method),
        };
        if !is_behind || parts.extensions.get::<Applying>().is_some() {
            return Self::PassThrough;
        }
        if LayerMarkers::of(&parts.extensions).write_behind == engine.id() {
            engine.report_misuse("a WriteBehindLayer is applied twice to the same request; the inner one does nothing");
            return Self::PassThrough;
        }
        match queues_writes(engine, snapshot) {
            false => Self::ApplyAtOnce,
            true if is_ambiguous => Self::Refuse(NotAccepted::AmbiguousPath),
            true => Self::Accept,
        }
    }
}

/// Whether the route of a path queues the writes of a method. Another host than the table's has no route.
fn queues(plan: &Plan, path: &str, host: Option<&str>, method: &Method) -> bool {
    let matched = plan.route(path, host);
    matched.is_some_and(|matched| {
        let route = matched.plan();
        route.behind.is_some() && !route.is_safe(method)
    })
}
