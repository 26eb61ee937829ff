//! Refusals of requests whose content a layer needs and cannot read.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::response_body::ResponseBody;

/// 400: the content ended early (RFC 9112 section 8).
pub(crate) fn broken<B>() -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// 408: the content did not arrive within `longest`.
pub(crate) fn late<B>(longest: Duration) -> Response<ResponseBody<B>> {
    let seconds = longest.as_secs();
    let details = format!(
        r#"{{"type":"about:blank","title":"Request Timeout","status":408,"detail":"The content did not arrive within {seconds} seconds."}}"#
    );
    problem(StatusCode::REQUEST_TIMEOUT, details.into())
}

/// 503: there is no room to read the content (`[local] fill_buffer`).
pub(crate) fn no_room<B>() -> Response<ResponseBody<B>> {
    let details = concat!(
        r#"{"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity","#,
        r#""title":"Request cannot be satisfied due to temporary server capacity constraints","#,
        r#""status":503}"#
    );
    let details = Bytes::from_static(details.as_bytes());
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, details);
    let one_second = HeaderValue::from_static("1");
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, one_second);
    response
}

/// A refusal with problem details (RFC 9457), as JSON.
pub(crate) fn problem<B>(status: StatusCode, details: Bytes) -> Response<ResponseBody<B>> {
    let mut response = Response::new(ResponseBody::full(details));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
