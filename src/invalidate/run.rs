//! The way of a request that may change something.

use std::{future::pending, panic::resume_unwind};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::runtime::Handle;
use tracing::{Instrument, Span};

use super::{
    answer,
    outcome::Outcome,
    replace::Replacement,
    write::{UnderWay, Write},
};
use crate::{
    error::BoxError,
    key::purge::PurgeTarget,
    message::{
        deferred_end::AtEnd, request_body::ReplayableBody, response_body::ResponseBody,
        service::HttpService,
    },
};

/// What the write is answered with.
type Answer<S, B> = Response<ResponseBody<<S as HttpService<B>>::ResponseBody>>;

/// Calls the inner service and invalidates what it changed, in a task of its own: whoever waits for
/// the answer may leave, and the write is still seen to its end.
pub(super) async fn run<S, B>(
    write: Write,
    inner: S,
    request: Request<B>,
) -> Result<Answer<S, B>, S::ServiceError>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let work = perform(write, inner, request);
    match tokio::spawn(work.in_current_span()).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // Nobody aborts it but the end of the runtime, which drops this future, too.
            Err(_) => pending().await,
        },
    }
}

/// Dropped or unwound at any point after the call, the write counts as one that may have happened.
async fn perform<S, B>(
    write: Write,
    mut inner: S,
    request: Request<B>,
) -> Result<Answer<S, B>, S::ServiceError>
where
    S: HttpService<B>,
    B: ReplayableBody,
{
    let refetch = write.refetch(&inner, &request);
    let under_way = write.begin().await;
    let response = match inner.call(request).await {
        Ok(response) => response,
        Err(error) => {
            under_way.settle_unknown(Vec::new()).await;
            return Err(error);
        }
    };
    let (status, headers) = (response.status(), response.headers());
    let outcome = if under_way.write.is_grpc() {
        match Outcome::of_grpc(status, headers) {
            Some(outcome) => outcome,
            None => return Ok(by_trailers(under_way, response)),
        }
    } else {
        Outcome::of_http(status)
    };
    let written = outcome == Outcome::Written && status.is_success();
    let (settled, response) = settle(under_way, outcome, response).await;
    if let Some(refetch) = refetch.filter(|_| settled && written) {
        refetch.run().await;
    }
    Ok(response)
}

/// Makes unusable what the answer says was changed, then lets it go; `false` if the journal has not
/// taken it yet.
async fn settle<R>(
    under_way: UnderWay,
    outcome: Outcome,
    response: Response<R>,
) -> (bool, Response<ResponseBody<R>>)
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let named = under_way.write.named_by(&response);
    let settled = match outcome {
        Outcome::Written => return after_success(under_way, named, response).await,
        // RFC 9111 section 4.4 alone: an error invalidates nothing.
        Outcome::Unknown if under_way.write.route.is_none() => under_way.settle(named).await,
        Outcome::Unknown => under_way.settle_unknown(named).await,
        // Groups are invalidated whatever the status, and a declaration is closed.
        Outcome::Refused => under_way.settle(named).await,
    };
    (settled, response.map(ResponseBody::inner))
}

/// What was written becomes unusable, or is replaced by the answer.
async fn after_success<R>(
    under_way: UnderWay,
    mut named: Vec<PurgeTarget>,
    response: Response<R>,
) -> (bool, Response<ResponseBody<R>>)
where
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let write = &under_way.write;
    let (head, body) = response.into_parts();
    let replacement = Replacement::of(write, &head);
    let longest = match &replacement {
        Some(replacement) => replacement.longest(),
        None if write.needs_answer() => answer::LONGEST,
        None => 0,
    };
    let (whole, body) = answer::whole(body, longest).await;
    let fields = whole.as_ref().and_then(|whole| whole.fields(&head.headers));
    named.append(&mut write.subjects(fields.as_ref()));
    let replacement = replacement
        .zip(whole)
        .and_then(|(replacement, whole)| replacement.complete(write, whole, fields.as_ref()));
    let settled = under_way.settle_with(named, replacement).await;
    (settled, Response::from_parts(head, body))
}

/// A gRPC answer whose status comes after its messages: the trailers wait until what was written
/// is unusable.
fn by_trailers<R>(under_way: UnderWay, response: Response<R>) -> Response<ResponseBody<R>> {
    let named = under_way.write.named_by(&response);
    let (runtime, span) = (Handle::current(), Span::current());
    let at_end: AtEnd = Box::new(move |trailers| {
        let outcome = Outcome::of_grpc_status(trailers);
        let settled = async move {
            match outcome {
                Outcome::Refused => under_way.settle(named).await,
                Outcome::Written => under_way.settle_written(named).await,
                Outcome::Unknown => under_way.settle_unknown(named).await,
            };
        };
        runtime.spawn(settled.instrument(span))
    });
    response.map(|body| ResponseBody::gated(body, at_end))
}
