//! Answering with a stale response in place of an error.

use std::time::Duration;

use http::StatusCode;

use super::{
    context::{CacheContext, CacheResponse},
    lookup_decision::{LookupDecision, decide_for},
    origin_response::OriginHead,
    respond,
};
use crate::{
    engine::tiers::FoundEntry,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    semantics::{freshness, grpc},
};

/// After the inner service has failed for a key, how long a response that may replace the error is
/// served without calling the service again.
const BACKOFF: Duration = Duration::from_secs(1);

/// Answers with the entry if the inner service has just failed for this key and the entry may replace
/// the error.
pub(super) fn in_backoff<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    found: &FoundEntry,
) -> Option<CacheResponse<S, B>> {
    let engine = context.engine();
    let key = context.request.key.as_str();
    if !engine.origin_backoff.contains(key, engine.clock.mono())
        || !is_allowed_on_error_status(context, found)
    {
        return None;
    }
    respond::stale_in_backoff(engine, &context.request, found, &context.parts.headers)
}

/// Answers with the candidate in place of an error of the inner service, or of a body that breaks
/// off (RFC 9111 section 4.2.4).
pub(super) fn on_service_error<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
) -> Option<CacheResponse<S, B>> {
    serve_stale(context, usable_on_service_error(context)?, None)
}

/// The candidate, if it may be used in place of an error of the inner service.
pub(super) fn usable_on_service_error<S, B>(context: &CacheContext<S, B>) -> Option<&FoundEntry> {
    let candidate = context.request.candidate.as_ref();
    let found = candidate.filter(|_| !context.request.is_refresh)?;
    match decide_now(context, found) {
        LookupDecision::Validate {
            on_error_status,
            on_service_error,
            ..
        } if on_error_status || on_service_error => Some(found),
        _ => None,
    }
}

/// Answers with the candidate in place of a 500, 502, 503 or 504 (RFC 5861 section 4), or of an error of
/// the server that the head of a gRPC response states.
pub(super) fn on_error_status<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    head: &OriginHead,
) -> Option<CacheResponse<S, B>> {
    let found = context.request.candidate.as_ref()?;
    if context.request.is_refresh
        || !(freshness::is_error(head.status()) || grpc::is_server_error(&head.parts.headers))
        || !is_allowed_on_error_status(context, found)
    {
        return None;
    }
    serve_stale(context, found, Some(head.status()))
}

/// Answers with a stale entry, and starts the backoff of its key.
fn serve_stale<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    found: &FoundEntry,
    instead_of: Option<StatusCode>,
) -> Option<CacheResponse<S, B>> {
    let engine = context.engine();
    let (key, now) = (context.request.key.as_str(), engine.clock.mono());
    engine.origin_backoff.insert(key, now, BACKOFF);
    respond::stale_after_call(
        engine,
        &context.request,
        found,
        &context.parts.headers,
        instead_of,
    )
}

fn is_allowed_on_error_status<S, B>(context: &CacheContext<S, B>, found: &FoundEntry) -> bool {
    matches!(
        decide_now(context, found),
        LookupDecision::Validate {
            on_error_status: true,
            ..
        }
    )
}

/// Decides again about an entry, which may have been invalidated since it was found.
fn decide_now<S, B>(context: &CacheContext<S, B>, found: &FoundEntry) -> LookupDecision {
    let (engine, request) = (context.engine(), &context.request);
    let now = engine.clock.now();
    let verdict = engine.fence.check(&found.entry, request.key.base(), now);
    let found = FoundEntry {
        verdict,
        ..found.clone()
    };
    decide_for(request, &found, now)
}
