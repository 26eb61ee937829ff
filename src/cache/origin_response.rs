//! The inner service's response to a request.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH, response};

use super::config::Config;
use crate::{
    clock::Timestamp, fence::capture::Capture, message::client_request::ClientRequest,
    semantics::freshness::Exchange,
};

pub(super) struct OriginResponse<B> {
    pub(super) head: OriginHead,
    pub(super) body: B,
}

/// The head of a response, and when it was requested.
#[derive(Debug)]
pub(super) struct OriginHead {
    /// The client's request, before the cache changed it.
    pub(super) original: Arc<ClientRequest>,
    pub(super) parts: response::Parts,
    /// The tag fields, which may have been removed from `parts`.
    pub(super) tag_fields: HeaderMap,
    /// The fence's position before the call.
    pub(super) capture: Capture,
    pub(super) exchange: Exchange,
}

impl OriginHead {
    /// The head of a response that has just arrived; `capture` and `requested` were taken before
    /// the call.
    pub(super) fn new(
        config: &Config,
        mut parts: response::Parts,
        original: Arc<ClientRequest>,
        capture: Capture,
        requested: Timestamp,
    ) -> Self {
        Self {
            original,
            tag_fields: config.tag_fields.read_and_strip(&mut parts.headers),
            parts,
            capture,
            exchange: Exchange {
                requested,
                received: config.engine().clock.now().wall,
            },
        }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.parts.status
    }

    /// The length of the body, if the head states it; that of a 204 does not count (RFC 9110
    /// section 8.6).
    pub(super) fn content_length(&self) -> Option<u64> {
        let length = self.parts.headers.get(CONTENT_LENGTH)?;
        let length: Option<u64> = length.to_str().ok()?.parse().ok();
        length.filter(|_| self.status() != StatusCode::NO_CONTENT)
    }
}

/// Whether a background refresh must not replace the stored response by one with this status.
pub(super) fn is_worse_than_stored(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::PROXY_AUTHENTICATION_REQUIRED
                | StatusCode::TOO_MANY_REQUESTS
        )
}
