//! Answers of the proxy's own, as problem details (RFC 9457).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// Why a request is not forwarded, or not answered with what the origin sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The target or the `Host` field names no one host (RFC 9112, 3.2).
    Host,
    /// The content of the request broke off, or is not framed as it says.
    Content,
    /// `CONNECT` and `TRACE`: this is not a tunnel, and shows nobody what it adds to requests.
    Method,
    /// The origin cannot be reached, or broke off before its answer began.
    Unreachable,
    /// The origin's answer is not HTTP that can be passed on.
    Malformed,
    /// The origin did not begin its answer in time.
    Late,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Content => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::Unreachable | Self::Malformed => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Host => "the request does not name one valid host",
            Self::Content => "the request's content cannot be read",
            Self::Method => "this proxy does not forward the method",
            Self::Unreachable => "the origin cannot be reached",
            Self::Malformed => "the origin's answer cannot be passed on",
            Self::Late => "the origin did not answer in time",
        }
    }
}

impl<B: From<Bytes>> From<Refusal> for Response<B> {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status();
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": refusal.detail(),
        });
        let mut response = Self::new(Bytes::from(body.to_string()).into());
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
