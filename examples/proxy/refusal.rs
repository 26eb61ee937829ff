//! Error responses of the proxy, as problem details (RFC 9457).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// Why a request was not forwarded, or why the origin's response was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The target and the `Host` field do not name exactly one host (RFC 9112, 3.2).
    Host,
    /// An asterisk, which only OPTIONS may have as its target (RFC 9112, 3.2.4).
    Asterisk,
    /// The content of the request is incomplete or badly framed.
    Content,
    /// `CONNECT` and `TRACE`: the proxy is not a tunnel, and `TRACE` would reveal fields that it adds. Also a registered
    /// method in other letters, such as `get`, which an origin may take for `GET`.
    Method,
    /// A scheme that authenticates the connection rather than the request: connections to the origin are shared.
    Authentication,
    /// The origin cannot be reached, or closed the connection before its response began.
    Unreachable,
    /// The origin's response is not valid HTTP.
    Malformed,
    /// The origin did not respond in time.
    Late,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Asterisk | Self::Content => StatusCode::BAD_REQUEST,
            Self::Method | Self::Authentication => StatusCode::NOT_IMPLEMENTED,
            Self::Unreachable | Self::Malformed => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Host => "the request does not name one valid host",
            Self::Asterisk => "only OPTIONS may have `*` as its target",
            Self::Content => "the request's content cannot be read",
            Self::Method => "this proxy does not forward the method",
            Self::Authentication => {
                "this proxy does not forward NTLM or Negotiate, which authenticate a whole connection"
            }
            Self::Unreachable => "the origin cannot be reached",
            Self::Malformed => "the origin's response is not valid HTTP",
            Self::Late => "the origin did not respond in time",
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
