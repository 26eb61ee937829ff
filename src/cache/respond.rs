//! Making the response to a request: from an entry, from another request's fill, or from the inner
//! service's response.

use std::{mem, sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode, header, response};

use super::{
    cache_request::CacheRequest,
    conditions::RequestConditions,
    form::{evaluate_preconditions, in_form, response},
};
use crate::{
    clock::Now,
    engine::{core::Engine, fill::Fill, tiers::Found},
    message::{prebuilt_head::PrebuiltResponse, response_body::ResponseBody, static_values},
    semantics::{
        cache_status::{CACHE_STATUS, CacheStatus, Forward},
        freshness::{FreshnessState, Lifetime},
        stored::StoredResponse,
    },
    store::entry::{Content, Entry},
};

/// Answers with the prebuilt head of a fresh entry.
///
/// `None` if the request does not want the whole response, or if nothing is prebuilt, as for the
/// first use of an entry.
#[inline(always)]
pub(super) fn prebuilt(
    conditions: &RequestConditions,
    entry: &Entry,
    stored: &StoredResponse,
    freshness: &FreshnessState,
) -> Option<PrebuiltResponse> {
    let left = freshness.left?;
    let is_simple = conditions.form.is_whole() && is_single_chunk(stored);
    if !is_simple || !entry.local.prebuilt.use_again() {
        return None;
    }
    Some(PrebuiltResponse {
        head: Arc::clone(entry.local.prebuilt.of(&stored.headers, &stored.body)),
        status: stored.status,
        age: freshness.age.as_secs(),
        ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
    })
}

/// Answers from an entry, as a hit.
///
/// `None` if the entry is not a response, or the part that it holds lacks what is asked for.
pub(super) fn hit<B>(
    conditions: &RequestConditions,
    entry: &Entry,
    headers: &HeaderMap,
    now: Now,
) -> Option<Response<ResponseBody<B>>> {
    from_entry(conditions, entry, headers, now, None)
}

/// Answers from an entry that nothing else refers to, as a hit: its head and body are moved, not
/// copied. `None` if the entry is shared, or the request does not want the whole response.
pub(super) fn take_hit<B>(
    conditions: &RequestConditions,
    found: &mut Found,
    now: Now,
) -> Option<Response<ResponseBody<B>>> {
    let entry = Arc::get_mut(&mut found.entry)?;
    let Content::Response(stored) = &mut entry.content else {
        return None;
    };
    if !conditions.form.is_whole() || !is_single_chunk(stored) {
        return None;
    }
    let resident = now.wall.since(entry.stored);
    let mut fields = mem::take(&mut stored.headers);
    add_age_and_status(&mut fields, &stored.lifetime, resident, None);
    let body = ResponseBody::full(mem::take(&mut stored.body));
    Some(response(stored.status, fields, body))
}

/// Whether a stored response is complete and has no trailers.
#[inline]
fn is_single_chunk(stored: &StoredResponse) -> bool {
    stored.part.is_none() && stored.trailers.is_none()
}

/// Answers from an entry that a request to the inner service has just validated or stored, or could
/// not replace.
pub(super) fn validated<B>(
    engine: &Engine,
    request: &CacheRequest,
    entry: &Entry,
    headers: &HeaderMap,
    status: &CacheStatus,
) -> Option<Response<ResponseBody<B>>> {
    let now = engine.clock.now();
    from_entry(&request.conditions, entry, headers, now, Some(status))
}

/// Answers with a stale entry instead of an error, whose status is `instead_of`.
pub(super) fn stale<B>(
    engine: &Engine,
    request: &CacheRequest,
    found: &Found,
    headers: &HeaderMap,
    instead_of: Option<StatusCode>,
) -> Option<Response<ResponseBody<B>>> {
    engine.metrics.hit_stale.increment(1);
    let stored = found.entry.response()?;
    let resident = engine.clock.now().wall.since(found.entry.stored);
    let status = CacheStatus::forward(Forward::Stale).ttl(stored.lifetime.ttl(resident));
    let status = match instead_of {
        Some(code) => status.status(code).detail("stale-if-error"),
        None => status.detail("disconnected"),
    };
    validated(engine, request, &found.entry, headers, &status)
}

/// Answers from an entry; it is a hit unless `status` says otherwise.
fn from_entry<B>(
    conditions: &RequestConditions,
    entry: &Entry,
    headers: &HeaderMap,
    now: Now,
    status: Option<&CacheStatus>,
) -> Option<Response<ResponseBody<B>>> {
    let stored = entry.response()?;
    let resident = now.wall.since(entry.stored);
    let mut fields = stored.headers.clone();
    add_age_and_status(&mut fields, &stored.lifetime, resident, status);
    in_form(conditions, entry, stored, headers, fields)
}

fn add_age_and_status(
    fields: &mut HeaderMap,
    lifetime: &Lifetime,
    resident: Duration,
    status: Option<&CacheStatus>,
) {
    let age = lifetime.age(resident).as_secs();
    fields.insert(header::AGE, static_values::age(age));
    let status = match status {
        Some(status) => status.to_value(),
        None => static_values::hit(lifetime.ttl(resident)),
    };
    fields.append(CACHE_STATUS, status);
}

/// Answers from the fill of another request. `None` if its first bytes are no longer held.
pub(super) fn from_fill<B>(
    engine: &Engine,
    request: &CacheRequest,
    fill: &Fill,
    headers: &HeaderMap,
) -> Option<Response<ResponseBody<B>>> {
    let stored = fill.head.response()?;
    let body = ResponseBody::shared(fill.body.reader()?);
    let status = CacheStatus::forward(request.miss_reason).collapsed(true);
    let mut fields = stored.headers.clone();
    let resident = engine.clock.now().wall.since(fill.head.stored);
    add_age_and_status(&mut fields, &stored.lifetime, resident, Some(&status));
    engine.metrics.collapsed.increment(1);
    let response = response(stored.status, fields, body);
    Some(evaluate_preconditions(
        request,
        headers,
        response,
        fill.head.stored,
    ))
}

/// Answers with the inner service's response. `stored`: it is or will be stored.
pub(super) fn from_origin<B>(
    mut head: response::Parts,
    body: ResponseBody<B>,
    reason: Forward,
    stored: bool,
    detail: Option<&'static str>,
) -> Response<ResponseBody<B>> {
    let mut status = CacheStatus::forward(reason).stored(stored);
    if let Some(detail) = detail {
        status = status.detail(detail);
    }
    status.append(&mut head.headers);
    Response::from_parts(head, body)
}

/// Refuses a request with `only-if-cached` for which nothing usable is stored (RFC 9111 section
/// 5.2.1.7).
pub(super) fn gateway_timeout<B>(reason: Forward) -> Response<ResponseBody<B>> {
    let status = CacheStatus::forward(reason).detail("only-if-cached");
    let mut fields = HeaderMap::new();
    status.append(&mut fields);
    response(StatusCode::GATEWAY_TIMEOUT, fields, ResponseBody::empty())
}

/// Refuses a request whose content could not be read to its end.
pub(super) fn bad_request<B>() -> Response<ResponseBody<B>> {
    response(
        StatusCode::BAD_REQUEST,
        HeaderMap::new(),
        ResponseBody::empty(),
    )
}
