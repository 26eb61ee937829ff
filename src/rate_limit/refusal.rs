//! The answer to what is not admitted.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request,
};

use super::{
    decision::{Decision, Known},
    fields::Fields,
    grpc::{self, Code},
};
use crate::{
    message::response_body::ResponseBody,
    quota::{Problem, problem},
};

/// What the application answers in place of problem details.
pub(super) type Refuse = dyn Fn(&Decision, &request::Parts) -> Response<Bytes> + Send + Sync;

/// 429 with problem details (503 where the quota could not be counted), or a gRPC status.
pub(super) fn refusal<B>(
    decision: &Decision,
    fields: Option<Fields>,
    parts: &request::Parts,
    refuse: Option<&Arc<Refuse>>,
) -> Response<ResponseBody<B>> {
    let uncounted = decision
        .violated()
        .all(|limit| limit.known == Known::Unavailable);
    let mut response = if grpc::is_grpc(&parts.headers) {
        grpc_refusal(decision, uncounted, &parts.headers)
    } else if let Some(refuse) = refuse {
        refuse(decision, parts).map(ResponseBody::full)
    } else {
        problem_details(decision, uncounted)
    };
    let headers = response.headers_mut();
    let seconds = decision.violated().map(|limit| limit.retry_seconds()).max();
    headers
        .entry(RETRY_AFTER)
        .or_insert_with(|| HeaderValue::from(seconds.unwrap_or(1)));
    if let Some(fields) = fields {
        fields.put(headers);
    }
    response
}

fn problem_details<B>(decision: &Decision, uncounted: bool) -> Response<ResponseBody<B>> {
    let mut violated = decision.violated();
    let (status, of) = if uncounted {
        (StatusCode::SERVICE_UNAVAILABLE, Problem::ReducedCapacity)
    } else {
        (StatusCode::TOO_MANY_REQUESTS, Problem::QuotaExceeded)
    };
    let body = match (violated.next(), violated.next()) {
        (Some(only), None) if !uncounted => only.policy.problem.clone(),
        _ => problem(of, decision.violated().map(|limit| limit.name())),
    };
    let mut response = Response::new(ResponseBody::full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(4);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}

fn grpc_refusal<B>(
    decision: &Decision,
    uncounted: bool,
    request: &HeaderMap,
) -> Response<ResponseBody<B>> {
    let code = if uncounted {
        Code::Unavailable
    } else {
        Code::ResourceExhausted
    };
    let after = decision.retry_after();
    let after = after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    let mut response = Response::new(ResponseBody::empty());
    grpc::put(response.headers_mut(), request, decision, code, after);
    response
}
