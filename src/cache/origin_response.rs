//! The inner service's response to a request.

use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH, response};

use crate::{fence::capture::Capture, semantics::freshness::Exchange};

pub(super) struct OriginResponse<B> {
    pub(super) head: OriginHead,
    pub(super) body: B,
}

/// The head of a response, and when it was asked for.
#[derive(Debug)]
pub(super) struct OriginHead {
    pub(super) parts: response::Parts,
    /// The tag fields, which may have been stripped off `parts`.
    pub(super) tag_fields: HeaderMap,
    /// The place in the order of invalidations from before the call.
    pub(super) capture: Capture,
    pub(super) exchange: Exchange,
}

impl OriginHead {
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

/// Whether a refresh keeps the stored response rather than one of this status, whatever the table
/// says about it.
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
