//! The status of a write, as a resource.

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
    request,
};
use http_body::Body;

use super::{problem, status_document};
use crate::{
    clock::Timestamp,
    engine::{acceptance::stored_write, core::Engine},
    error::Error,
    message::{http_service::ServiceBody, response_body::ResponseBody},
    store::contracts::queue::StoredStatus,
    write_queue::WriteId,
};

/// Whether a path is that of a write's status.
pub(super) fn is_status_path(status_path: &str, path: &str) -> bool {
    let rest = path.strip_prefix(status_path);
    let id = rest.and_then(|rest| rest.strip_prefix('/'));
    id.is_some_and(|id| id.parse::<WriteId>().is_ok())
}

/// Answers a request for the status of the write whose id is the last segment of the path. The status is
/// shown only to the user of the write; to others the write is unknown.
pub(super) async fn respond<B: ServiceBody>(
    engine: &Engine,
    parts: &request::Parts,
) -> Response<ResponseBody<B>> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return method_not_allowed();
    }
    let mut response = match find(engine, parts).await {
        Ok(Some((id, stored))) => found(engine, id, &stored),
        Ok(None) => problem::of_request(StatusCode::NOT_FOUND, "There is no such write."),
        Err(error) => {
            tracing::debug!(%error, "the status of a write is not known");
            problem::unavailable()
        }
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    if parts.method == Method::HEAD {
        return without_body(response);
    }
    response
}

async fn find(
    engine: &Engine,
    parts: &request::Parts,
) -> Result<Option<(WriteId, StoredStatus)>, Error> {
    let path = engine.uri(&parts.uri, &parts.extensions).path();
    let id = path.rsplit('/').next().unwrap_or_default();
    let Ok(id) = id.parse() else {
        return Ok(None);
    };
    let stored = stored_write::find(engine, id).await?;
    let snapshot = engine.snapshot.load();
    let user = engine.user(&snapshot, parts);
    let user = user.as_ref().map(|user| user.id());
    let stored = stored.filter(|stored| stored.user.as_deref() == user);
    Ok(stored.map(|stored| (id, stored)))
}

fn found<B>(engine: &Engine, id: WriteId, stored: &StoredStatus) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::full(status_document::of(id, stored)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !stored.state.has_ended() {
        let now = engine.clock.now().wall;
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(seconds_until(stored.next_attempt, now)),
        );
    }
    response
}

/// The whole seconds until the next attempt, at least one.
fn seconds_until(next_attempt: Option<Timestamp>, now: Timestamp) -> u64 {
    let wait = next_attempt.map(|next| next.since(now)).unwrap_or_default();
    wait.as_millis()
        .div_ceil(1000)
        .max(1)
        .try_into()
        .unwrap_or(u64::MAX)
}

fn method_not_allowed<B>() -> Response<ResponseBody<B>> {
    let mut response = problem::of_request(
        StatusCode::METHOD_NOT_ALLOWED,
        "The status of a write can only be read.",
    );
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// The response to a HEAD request: its fields are those of the response to a GET.
fn without_body<B: ServiceBody>(response: Response<ResponseBody<B>>) -> Response<ResponseBody<B>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, ResponseBody::empty())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_ids_below_the_status_path_are_statuses() {
        let id = "0123456789abcdef0123456789abcdef";
        for (path, expected) in [
            (format!("/writes/{id}"), true),
            (format!("/writes/{id}/"), false),
            (format!("/writes//{id}"), false),
            (format!("/other/{id}"), false),
            (format!("/writesx/{id}"), false),
            (format!("/writes{id}"), false),
            ("/writes/new".to_owned(), false),
            ("/writes".to_owned(), false),
        ] {
            assert_eq!(is_status_path("/writes", &path), expected, "{path}");
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_at_least_one() {
        let now = Timestamp(10_000);
        assert_eq!(seconds_until(None, now), 1);
        assert_eq!(seconds_until(Some(Timestamp(9_000)), now), 1);
        let next = now.after(Duration::from_millis(2_001));
        assert_eq!(seconds_until(Some(next), now), 3);
        assert_eq!(
            seconds_until(Some(Timestamp(u64::MAX)), now),
            (u64::MAX - 10_000).div_ceil(1000)
        );
    }
}
