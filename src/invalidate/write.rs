//! The steps of a write: declare, call, invalidate, respond.

use std::{future::pending, panic::resume_unwind};

use http::{Request, Response};
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

use super::{
    content, in_flight_write::InFlightWrite, outcome::WriteOutcome, refetch::Refetch,
    replacement::Replacement, request_content, write_request::WriteRequest,
};
use crate::{
    key::purge::PurgeTarget,
    message::{
        deferred_end::OnEnd,
        http_service::{HttpService, ServiceBody},
        replayable_body::ReplayableBody,
        response_body::ResponseBody,
    },
};

type WriteResponse<S, B> = Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>;

/// Performs the write in its own task, so that a client that disconnects does not interrupt it. What a
/// declared write must read before is read outside that task.
pub(super) async fn run_in_task<S: HttpService<B>, B: ReplayableBody>(
    write: WriteRequest,
    inner: S,
    request: Request<B>,
) -> Result<WriteResponse<S, B>, S::ServiceError> {
    let request = match request_content::read_to_declare(&write, request).await {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    let work = perform(write, inner, request);
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Only the end of the runtime aborts the task, and that also drops this future.
            Err(_) => pending().await,
        },
    }
}

/// Calls the inner service and invalidates what it may have changed. If the future is dropped after the
/// inner service was called, the write is invalidated as if it had been committed.
async fn perform<S: HttpService<B>, B: ReplayableBody>(
    write: WriteRequest,
    mut inner: S,
    request: Request<B>,
) -> Result<WriteResponse<S, B>, S::ServiceError> {
    let refetch = Refetch::of(&write, &inner, &request);
    let request = write.watch_content(request);
    let write = InFlightWrite::begin(write).await;
    let response = match inner.call(request).await {
        Ok(response) => response,
        Err(error) => {
            write.settle_unknown(Vec::new()).await;
            return Err(error);
        }
    };
    let (head, body) = response.into_parts();
    let (status, is_grpc) = (head.status, write.request.is_grpc());
    let outcome = if is_grpc {
        WriteOutcome::of_grpc(status, &head.headers)
    } else {
        Some(write.request.outcome(&head))
    };
    let response = Response::from_parts(head, body);
    let Some(outcome) = outcome else {
        return Ok(settle_at_end(write, response));
    };
    let succeeded = outcome == WriteOutcome::Written && status.is_success();
    let (settled, response) = settle(write, outcome, response).await;
    if let Some(refetch) = refetch.filter(|_| settled && succeeded) {
        refetch.run().await;
    }
    Ok(response)
}

/// Invalidates the targets that the outcome requires. Returns `false` with the response if the journal
/// has not taken the invalidation yet.
async fn settle<R: ServiceBody>(
    write: InFlightWrite,
    outcome: WriteOutcome,
    response: Response<R>,
) -> (bool, Response<ResponseBody<R>>) {
    let named = write.request.targets_of_response(&response);
    let settled = match write.request.with_content(outcome) {
        WriteOutcome::Written => return settle_success(write, named, response).await,
        // RFC 9111 section 4.4: for a path without a route, an error invalidates nothing.
        WriteOutcome::Unknown if write.request.routes_now().is_empty() => write.settle(named).await,
        WriteOutcome::Unknown => write.settle_unknown(named).await,
        WriteOutcome::NotDone => write.settle_target(named).await,
        // Groups are invalidated with any status (RFC 9875 section 3), and a declaration is closed.
        WriteOutcome::Refused => write.settle(named).await,
    };
    (settled, response.map(ResponseBody::inner))
}

/// Invalidates the targets of a committed write, or replaces the stored response by the write's own.
async fn settle_success<R: ServiceBody>(
    write: InFlightWrite,
    mut targets: Vec<PurgeTarget>,
    response: Response<R>,
) -> (bool, Response<ResponseBody<R>>) {
    let request = &write.request;
    let (head, body) = response.into_parts();
    // By the earlier table, the response might be stored for whom the current one does not allow it.
    let replacement = Replacement::of(request, &head).filter(|_| !request.is_reloaded());
    let routes = request.routes_now();
    let mut routes = routes.iter();
    let max_length = match &replacement {
        Some(replacement) => replacement.max_length,
        None if routes.any(|route| route.invalidates_need_answer()) => content::MAX_LENGTH,
        None => 0,
    };
    request.report_skipped_targets();
    let permit = request.engine().write_buffers.permit();
    let (content, body) = content::read(body, max_length, permit).await;
    let fields = content.as_ref().and_then(|it| it.fields(&head.headers));
    targets.append(&mut request.targets(fields.as_ref()));
    let replacement = replacement
        .zip(content)
        .and_then(|(replacement, content)| replacement.complete(request, content, fields.as_ref()));
    let settled = write.settle_with(targets, replacement).await;
    (settled, Response::from_parts(head, body))
}

/// Settles a gRPC write whose status follows its messages: holds the trailers back until the
/// invalidation is done. If they are late, the targets are invalidated once before.
fn settle_at_end<R>(write: InFlightWrite, response: Response<R>) -> Response<ResponseBody<R>> {
    let named = write.request.targets_of_response(&response);
    let settling = write.invalidate_if_late(named.clone());
    let (runtime, span) = (Handle::current(), Span::current());
    let at_end: OnEnd = Box::new(move |trailers| {
        drop(settling);
        let outcome = write
            .request
            .with_content(WriteOutcome::of_grpc_status(trailers));
        let settled = async move {
            match outcome {
                WriteOutcome::Refused => write.settle(named).await,
                WriteOutcome::Written => write.settle_written(named).await,
                WriteOutcome::Unknown => write.settle_unknown(named).await,
                WriteOutcome::NotDone => write.settle_target(named).await,
            };
        };
        runtime.spawn(settled.instrument(span))
    });
    response.map(|body| ResponseBody::with_deferred_end(body, at_end))
}
