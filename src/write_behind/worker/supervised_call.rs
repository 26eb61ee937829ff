//! A call of the service whose lease and declaration are renewed.

use std::pin::pin;

use tokio::time::Instant;

use super::{
    call::{CallResult, RunningCall},
    context::WorkerContext,
    lease::ClaimLease,
    restored_request::restore,
    shutdown::ShutdownPhase,
};
use crate::{
    error::BoxError,
    fence::declaration::Declaration,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    store::contracts::queue::ClaimedWrite,
    write_queue::request::QueuedRequest,
};

/// How the call of an attempt has ended.
pub(super) enum CallEnd {
    Finished(CallResult),
    /// The worker ends.
    Cancelled,
    LeaseLost,
}

/// Calls the service, and meanwhile renews the lease and the declaration.
pub(super) async fn supervise<S, B>(
    context: &WorkerContext,
    claimed: &ClaimedWrite,
    lease: &mut ClaimLease<'_>,
    service: S,
    write: &QueuedRequest,
    declared: &Declaration,
) -> CallEnd
where
    S: HttpService<B, ServiceError: Into<BoxError>>,
    B: ReplayableBody,
{
    if lease.remaining().is_zero() {
        return CallEnd::LeaseLost;
    }
    let (engine, settings) = (&context.engine, &context.settings);
    let request = restore(write, claimed, engine.id());
    let keep = engine.snapshot.load().plan.behind.keep_body;
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let began = Instant::now();
    let mut call = RunningCall::start(service, request, settings.longest_call, keep);
    let mut cancelled = pin!(context.shutdown.reaches(ShutdownPhase::CancelCalls));
    let end = loop {
        tokio::select! {
            biased;
            result = &mut call => break CallEnd::Finished(result),
            () = lease.is_due() => {}
            () = &mut cancelled => break CallEnd::Cancelled,
        }
        let mut renewal = pin!(lease.try_renew(Some(declared)));
        tokio::select! {
            biased;
            result = &mut call => {
                // A renewal that arrived after the closing would open the declaration again.
                renewal.await;
                break CallEnd::Finished(result);
            }
            is_held = &mut renewal => if !is_held {
                break CallEnd::LeaseLost;
            }
        }
    };
    engine.queue_metrics.apply.record(began.elapsed());
    end
}
