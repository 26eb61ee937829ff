//! The response to a refused request.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
    request,
};

use super::{
    applied_limit::{self, AppliedLimit},
    config::Config,
    decision::Decision,
    grpc::{self, GrpcStatus},
};
use crate::{
    message::response_body::ResponseBody,
    quota::{ProblemType, problem_details},
    semantics::grpc::is_grpc,
};

/// Counts a refused request in the metrics and makes its response: 429 with problem details (503 if none
/// of the refusing limits could be counted), the application's own response, or a gRPC status.
pub(super) fn refuse<R>(
    config: &Config,
    limits: &[AppliedLimit],
    parts: &request::Parts,
) -> Response<ResponseBody<R>> {
    let events = limits.iter().filter_map(AppliedLimit::event);
    config.engine().limiter.count(events);
    let decision = applied_limit::decision(limits);
    let mut response = response(config, &decision, parts);
    let headers = response.headers_mut();
    let seconds = decision.refusals().map(|limit| limit.retry_seconds()).max();
    headers
        .entry(RETRY_AFTER)
        .or_insert_with(|| HeaderValue::from(seconds.unwrap_or(1)));
    if let Some(fields) = config.fields(&decision) {
        fields.add_to(headers);
    }
    response
}

fn response<R>(
    config: &Config,
    decision: &Decision,
    parts: &request::Parts,
) -> Response<ResponseBody<R>> {
    let uncounted = decision.refusals().all(|limit| !limit.counted);
    if is_grpc(&parts.headers) {
        grpc_response(decision, uncounted, &parts.headers)
    } else if let Some(refuse) = &config.refuse {
        refuse(decision, parts).map(ResponseBody::full)
    } else {
        problem_response(decision, uncounted)
    }
}

fn problem_response<R>(decision: &Decision, uncounted: bool) -> Response<ResponseBody<R>> {
    let mut violated = decision.refusals();
    let (status, problem) = if uncounted {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            ProblemType::ReducedCapacity,
        )
    } else {
        (StatusCode::TOO_MANY_REQUESTS, ProblemType::QuotaExceeded)
    };
    let body = match (violated.next(), violated.next()) {
        (Some(only), None) if !uncounted => only.policy.problem.clone(),
        _ => problem_details(problem, decision.refusals().map(|limit| limit.name())),
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

fn grpc_response<R>(
    decision: &Decision,
    uncounted: bool,
    request: &HeaderMap,
) -> Response<ResponseBody<R>> {
    let status = if uncounted {
        GrpcStatus::Unavailable
    } else {
        GrpcStatus::ResourceExhausted
    };
    let after = decision.retry_after();
    let after = after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    let mut response = Response::new(ResponseBody::empty());
    grpc::put(response.headers_mut(), request, decision, status, after);
    response
}
