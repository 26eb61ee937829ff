//! Replies of the handlers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::call::Call;

/// A status, a JSON body and a few header fields.
#[derive(Debug)]
pub(crate) struct Reply(Response<Bytes>);

impl Reply {
    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        let mut response = Response::new(Bytes::from(value.to_string()));
        *response.status_mut() = status;
        Self(response).with(header::CONTENT_TYPE, "application/json")
    }

    /// 200 with an entity tag.
    pub(crate) fn ok(value: &Value) -> Self {
        Self::json(StatusCode::OK, value).with(header::ETAG, &entity_tag(value))
    }

    /// 201 with the location of the new resource.
    pub(crate) fn created(value: &Value, location: &str) -> Self {
        Self::json(StatusCode::CREATED, value)
            .with(header::ETAG, &entity_tag(value))
            .with(header::LOCATION, location)
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self(response)
    }

    /// Sets a header field. An invalid value is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// 304 instead, if the client already has this version.
    pub(crate) fn unless_held(self, call: &Call) -> Self {
        let tag = self
            .0
            .headers()
            .get(header::ETAG)
            .and_then(|tag| tag.to_str().ok());
        match tag {
            Some(tag) if call.holds(tag) => {
                Self::empty(StatusCode::NOT_MODIFIED).with(header::ETAG, tag)
            }
            _ => self,
        }
    }

    /// The response to `method`; `HEAD` gets no body.
    pub(crate) fn into_response(self, method: &Method) -> Response<Full<Bytes>> {
        let (mut head, body) = self.0.into_parts();
        if !matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) {
            head.headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let body = if method == Method::HEAD {
            Bytes::new()
        } else {
            body
        };
        Response::from_parts(head, Full::new(body))
    }
}

/// A strong entity tag; equal values have equal tags.
pub(crate) fn entity_tag(value: &Value) -> String {
    format!("\"{}\"", digest(value.to_string().as_bytes()))
}

/// The first 64 bits of the SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
