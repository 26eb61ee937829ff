//! Making the response to a request: from an entry, from another request's fill, or from the inner
//! service's response.

use std::{mem, sync::Arc, time::Duration};

use http::{HeaderMap, Response, StatusCode, header, response};

use super::{
    cache_request::CacheRequest,
    preconditions_and_range::{answer_in_form, evaluate_preconditions},
    request_constraints::RequestConstraints,
};
use crate::{
    clock::Now,
    engine::{core::Engine, fill::Fill, tiers::FoundEntry},
    message::{
        content_refusal,
        prebuilt_head::PrebuiltResponse,
        response_body::{ResponseBody, response},
        shared_buffer::BodyReader,
        static_values,
    },
    semantics::{
        cache_status::{CACHE_STATUS, CacheStatus, Forward},
        freshness::{FreshnessState, Lifetime},
        stored_response::StoredResponse,
    },
    store::entry::{Content, Entry},
};

/// Answers with the prebuilt head of a fresh entry.
///
/// `None` if the request does not ask for the whole response, or if the entry is used for the first
/// time: a head is prebuilt at the second use.
#[inline(always)]
pub(super) fn prebuilt(
    constraints: &RequestConstraints,
    entry: &Entry,
    stored: &StoredResponse,
    freshness: &FreshnessState,
) -> Option<PrebuiltResponse> {
    let left = freshness.left?;
    let is_simple = constraints.form.is_whole() && is_complete_without_trailers(stored);
    if !is_simple || !entry.local.prebuilt.use_again() {
        return None;
    }
    Some(PrebuiltResponse {
        head: Arc::clone(entry.local.prebuilt.of(stored)),
        age: freshness.age.as_secs(),
        ttl: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
    })
}

/// Answers from an entry, as a hit.
///
/// `None` if the entry is not a response, or holds a part that lacks requested bytes.
pub(super) fn hit<B>(
    constraints: &RequestConstraints,
    entry: &Entry,
    headers: &HeaderMap,
    now: Now,
) -> Option<Response<ResponseBody<B>>> {
    from_entry(constraints, entry, headers, now, None)
}

/// Answers from an entry that has no other owner, as a hit: its head and body are moved, not
/// copied. `None` if the entry has another owner, or the request does not ask for the whole
/// response.
pub(super) fn take_hit<B>(
    constraints: &RequestConstraints,
    found: &mut FoundEntry,
    now: Now,
) -> Option<Response<ResponseBody<B>>> {
    let entry = Arc::get_mut(&mut found.entry)?;
    let Content::Response(stored) = &mut entry.content else {
        return None;
    };
    if !constraints.form.is_whole() || !is_complete_without_trailers(stored) {
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
fn is_complete_without_trailers(stored: &StoredResponse) -> bool {
    stored.part.is_none() && stored.trailers.is_none()
}

/// Answers from an entry with `status` in place of a hit's `Cache-Status`.
pub(super) fn from_entry_with_status<B>(
    engine: &Engine,
    request: &CacheRequest,
    entry: &Entry,
    headers: &HeaderMap,
    status: &CacheStatus,
) -> Option<Response<ResponseBody<B>>> {
    let now = engine.clock.now();
    from_entry(&request.constraints, entry, headers, now, Some(status))
}

/// Answers with a stale entry after a call of the inner service, in place of a response with status
/// `instead_of`; `None` stands for an error of the inner service, or a body that broke off.
pub(super) fn stale_after_call<B>(
    engine: &Engine,
    request: &CacheRequest,
    found: &FoundEntry,
    headers: &HeaderMap,
    instead_of: Option<StatusCode>,
) -> Option<Response<ResponseBody<B>>> {
    let reason = request.forward_reason(engine.clock.now().wall);
    let status = CacheStatus::forward(reason).ttl(ttl(engine, found)?);
    let status = match instead_of {
        Some(code) => status.status(code).detail("stale-if-error"),
        None => status.detail("service-error"),
    };
    stale_with_status(engine, request, found, headers, &status)
}

/// Answers with a stale entry without a call of the inner service, which has just failed.
pub(super) fn stale_in_backoff<B>(
    engine: &Engine,
    request: &CacheRequest,
    found: &FoundEntry,
    headers: &HeaderMap,
) -> Option<Response<ResponseBody<B>>> {
    let status = CacheStatus::hit(ttl(engine, found)?).detail("backoff");
    stale_with_status(engine, request, found, headers, &status)
}

/// The seconds of freshness that a response has left, negative when stale.
fn ttl(engine: &Engine, found: &FoundEntry) -> Option<i64> {
    let resident = engine.clock.now().wall.since(found.entry.stored);
    Some(found.entry.response()?.lifetime.ttl(resident))
}

/// Answers with a stale entry, and counts that.
fn stale_with_status<B>(
    engine: &Engine,
    request: &CacheRequest,
    found: &FoundEntry,
    headers: &HeaderMap,
    status: &CacheStatus,
) -> Option<Response<ResponseBody<B>>> {
    engine.metrics.hit_stale.increment(1);
    from_entry_with_status(engine, request, &found.entry, headers, status)
}

/// Answers from an entry; it is a hit unless `status` says otherwise.
fn from_entry<B>(
    constraints: &RequestConstraints,
    entry: &Entry,
    headers: &HeaderMap,
    now: Now,
    status: Option<&CacheStatus>,
) -> Option<Response<ResponseBody<B>>> {
    let stored = entry.response()?;
    let resident = now.wall.since(entry.stored);
    let mut fields = stored.headers.clone();
    add_age_and_status(&mut fields, &stored.lifetime, resident, status);
    answer_in_form(constraints, entry, stored, headers, fields)
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

/// Answers from the fill of another request; `body` reads its body.
pub(super) fn from_fill<B>(
    engine: &Engine,
    request: &CacheRequest,
    fill: &Fill,
    body: BodyReader,
    headers: &HeaderMap,
) -> Option<Response<ResponseBody<B>>> {
    let stored = fill.head.response()?;
    let body = ResponseBody::shared(body);
    let now = engine.clock.now().wall;
    let status = CacheStatus::forward(request.forward_reason(now)).collapsed(true);
    let mut fields = stored.headers.clone();
    let resident = now.since(fill.head.stored);
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

/// Answers with the inner service's response. `stored`: whether it is or will be stored.
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

/// Refuses a request for which nothing usable is stored and that is not forwarded: `detail` says why
/// not (for `only-if-cached`: RFC 9111 section 5.2.1.7).
pub(super) fn gateway_timeout<B>(
    reason: Forward,
    detail: &'static str,
) -> Response<ResponseBody<B>> {
    let status = CacheStatus::forward(reason).detail(detail);
    let mut fields = HeaderMap::new();
    status.append(&mut fields);
    response(StatusCode::GATEWAY_TIMEOUT, fields, ResponseBody::empty())
}

/// Refuses a request whose content is part of its key while there is no room to read it.
pub(super) fn busy<B>() -> Response<ResponseBody<B>> {
    let mut response = content_refusal::no_room();
    let status = CacheStatus::forward(Forward::Bypass).detail("busy");
    status.append(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use http::{HeaderName, HeaderValue};
    use http_body_util::{BodyExt, Empty};
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::{
        cache::request_constraints::ResponseForm,
        clock::Timestamp,
        semantics::{
            cache_control::RequestCacheControl, sharing::Credentials, storage_policy::SharingScope,
        },
        store::{entry::LocalState, position::Position},
    };

    fn entry(status: StatusCode, headers: HeaderMap, body: Bytes, lifetime: Lifetime) -> Entry {
        Entry {
            content: Content::Response(StoredResponse {
                status,
                headers,
                body,
                trailers: None,
                lifetime,
                part: None,
                cost: Duration::ZERO,
            }),
            position: Position::UNKNOWN,
            stored: Timestamp(1_000_000),
            expires: Timestamp(u64::MAX),
            entity: Box::default(),
            user: None,
            tags: Box::default(),
            local: LocalState::default(),
        }
    }

    const NAMES: &[&str] = &["x-a", "x-b", "cache-status", "etag", "content-type"];

    proptest! {
        /// A prebuilt response and one that is made from the same entry at the same time are equal.
        #[test]
        fn a_prebuilt_hit_equals_a_hit_that_is_made(
            fields in vec((select(NAMES), "[!-~]{1,12}"), 0..8),
            status in select(&[200u16, 203, 301, 404, 410]),
            content in vec(any::<u8>(), 0..64),
            fresh in 1u64..100_000,
            initial_age in 0u64..100_000,
            resident in 0u64..200_000,
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in &fields {
                let value = HeaderValue::try_from(value).expect("visible ASCII");
                headers.append(HeaderName::from_static(name), value);
            }
            let lifetime = Lifetime {
                fresh: Duration::from_millis(fresh + initial_age),
                initial_age: Duration::from_millis(initial_age),
                ..Lifetime::default()
            };
            let status = StatusCode::from_u16(status).expect("a status");
            let entry = entry(status, headers, content.into(), lifetime);
            let constraints = RequestConstraints {
                form: ResponseForm::WHOLE,
                directives: RequestCacheControl::default(),
                credentials: Credentials::None,
                scope: SharingScope::Public,
                can_refresh: true,
            };
            let resident = Duration::from_millis(resident % fresh);
            let now = Now {
                wall: entry.stored.after(resident),
                mono: 0,
            };
            let stored = entry.response().expect("a response");
            let freshness = lifetime.state_after(now.wall.since(entry.stored));
            let first = prebuilt(&constraints, &entry, stored, &freshness);
            prop_assert!(first.is_none(), "built at the second use");
            let prebuilt = prebuilt(&constraints, &entry, stored, &freshness);
            let prebuilt = prebuilt.expect("a fresh entry").into_response::<Empty<Bytes>>();
            let made = hit::<Empty<Bytes>>(&constraints, &entry, &HeaderMap::new(), now);
            let made = made.expect("the whole response");

            prop_assert_eq!(prebuilt.status(), made.status());
            prop_assert_eq!(prebuilt.headers(), made.headers());
            let [prebuilt, made] = [prebuilt, made].map(|response| {
                let content = response.into_body().collect().now_or_never();
                content.expect("it is held in memory").expect("no error").to_bytes()
            });
            prop_assert_eq!(prebuilt, made);
        }
    }
}
