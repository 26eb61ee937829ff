//! The responses to writes that are not accepted: problem details (RFC 9457).

use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};
use serde::Serialize;

use crate::{
    engine::acceptance::not_accepted::NotAccepted,
    message::{content_refusal, response_body::ResponseBody},
    semantics::idempotency_key::MalformedIdempotencyKey,
    store::contracts::queue::Bound,
    table::KeyError,
};

/// The seconds after which a client may try again while the queue is full, or the store away.
const RETRY_SECONDS: u64 = 5;

/// A problem without a type of its own.
const BLANK: &str = "about:blank";

macro_rules! documented {
    ($anchor:literal) => {
        concat!(
            "https://docs.rs/tower-keep/latest/tower_keep/write_behind/index.html#",
            $anchor
        )
    };
}

/// The problem details of a write that was not accepted. `has_key`: whether it has an `Idempotency-Key`.
pub(super) fn not_accepted<B>(reason: &NotAccepted, has_key: bool) -> Response<ResponseBody<B>> {
    let (status, uri) = match reason {
        NotAccepted::NotBehind
        | NotAccepted::AmbiguousPath
        | NotAccepted::AmbiguousHost
        | NotAccepted::NoKey(KeyError::Missing | KeyError::Malformed | KeyError::AmbiguousQuery) => {
            (StatusCode::BAD_REQUEST, BLANK)
        }
        NotAccepted::NoKey(KeyError::NoUser) => (StatusCode::FORBIDDEN, BLANK),
        NotAccepted::TooManyFields => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, BLANK),
        NotAccepted::OtherContent => (
            StatusCode::UNPROCESSABLE_ENTITY,
            documented!("idempotency-key-reused"),
        ),
        NotAccepted::Full(bound) => (StatusCode::SERVICE_UNAVAILABLE, full(*bound)),
        NotAccepted::Refused(_) | NotAccepted::Unknown(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            documented!("store-unavailable"),
        ),
    };
    let detail = match reason {
        NotAccepted::Unknown(_) if !has_key => UNKNOWN_WITHOUT_KEY,
        other => other.detail(),
    };
    respond(status, uri, detail)
}

pub(super) fn malformed_key<B>(reason: MalformedIdempotencyKey) -> Response<ResponseBody<B>> {
    of_request(StatusCode::BAD_REQUEST, reason.as_str())
}

/// A problem of the request itself.
pub(super) fn of_request<B>(status: StatusCode, detail: &str) -> Response<ResponseBody<B>> {
    respond(status, BLANK, detail)
}

/// 503: the queue cannot be asked.
pub(super) fn unavailable<B>() -> Response<ResponseBody<B>> {
    respond(
        StatusCode::SERVICE_UNAVAILABLE,
        documented!("store-unavailable"),
        "The status is not known at the moment.",
    )
}

fn full(bound: Bound) -> &'static str {
    match bound {
        Bound::Writes => documented!("queue-full"),
        Bound::Bytes => documented!("queue-bytes-full"),
        Bound::PerKey => documented!("key-full"),
    }
}

fn respond<B>(status: StatusCode, uri: &str, detail: &str) -> Response<ResponseBody<B>> {
    let details = WriteProblem {
        uri,
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
    };
    let details = serde_json::to_vec(&details).expect("strings and numbers are valid JSON");
    let mut response = content_refusal::problem(status, details.into());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = HeaderValue::from(RETRY_SECONDS);
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

#[derive(Serialize)]
struct WriteProblem<'a> {
    #[serde(rename = "type")]
    uri: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

const UNKNOWN_WITHOUT_KEY: &str = "The write may have been accepted, because the store did not confirm it, and a repeated request may be a second write. With an Idempotency-Key a repeated request would find the first one.";
