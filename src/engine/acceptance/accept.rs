//! Accepting a write: from the request to the queue's reply.

use std::sync::Arc;

pub(crate) use super::offered_write::OfferedWrite;
use super::{not_accepted::NotAccepted, push, queue_check, queue_settings};
use crate::{
    engine::{core::Engine, queue_metrics::QueueMetrics, snapshot::Snapshot},
    store::contracts::queue::{NewWrite, Pushed},
    write_queue::{WriteId, WriteState},
};

/// A write that is in the queue, or was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcceptedWrite {
    pub(crate) id: WriteId,
    pub(crate) state: WriteState,
}

/// Whether this keep queues writes: it shares a Redis, or may queue in memory. If not, a write is
/// applied at once. Once a write has been queued in memory, later ones are queued, too, so that none
/// overtakes it.
pub(crate) fn queues_writes(engine: &Engine, snapshot: &Snapshot) -> bool {
    engine.is_shared() || snapshot.plan.behind.volatile || engine.acceptance.has_accepted()
}

/// Puts a write into the queue, or finds it there by its idempotency key.
///
/// # Errors
///
/// [`NotAccepted`] says why it is not in the queue, or that this is not known.
///
/// # Cancel safety
///
/// The write may or may not have been accepted.
pub(crate) async fn accept(
    engine: &Arc<Engine>,
    snapshot: &Snapshot,
    offered: OfferedWrite<'_>,
) -> Result<AcceptedWrite, NotAccepted> {
    let write = offered.into_new_write(engine, snapshot);
    let write = write.inspect_err(|error| error.count(&engine.queue_metrics))?;
    queue_check::report_once(engine, snapshot);
    let bounds = queue_settings::bounds(&snapshot.plan.behind);
    let result = match push::push(&*engine.queue, &write, &bounds).await {
        Ok(pushed) => accepted(&write, pushed),
        Err(error) => Err(error),
    };
    count(&engine.queue_metrics, &write, &result);
    result.map(|(accepted, _)| accepted)
}

type Superseded = Option<WriteId>;

fn accepted(write: &NewWrite, pushed: Pushed) -> Result<(AcceptedWrite, Superseded), NotAccepted> {
    let (id, state, superseded) = match pushed {
        Pushed::Accepted(superseded) => (write.id, WriteState::Waiting, superseded),
        Pushed::Known(id, state) => (id, state, None),
        Pushed::OtherContent => return Err(NotAccepted::OtherContent),
        Pushed::Full(bound) => return Err(NotAccepted::Full(bound)),
    };
    Ok((AcceptedWrite { id, state }, superseded))
}

fn count(
    metrics: &QueueMetrics,
    write: &NewWrite,
    result: &Result<(AcceptedWrite, Superseded), NotAccepted>,
) {
    match result {
        // A write that was found by its idempotency key was counted when it was accepted.
        Ok((accepted, _)) if accepted.id != write.id => {}
        Ok((_, superseded)) => {
            metrics.accepted.increment(1);
            metrics
                .superseded
                .increment(u64::from(superseded.is_some()));
        }
        Err(error) => error.count(metrics),
    }
}
