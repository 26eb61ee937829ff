//! Whether a write was committed, judged by the response's status.

use http::{HeaderMap, StatusCode};

use crate::semantics::grpc::GRPC_STATUS;

use crate::semantics::invalidation;

/// Whether a write was committed, judged by the response's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    Written,
    /// The response is not an error, but does not say that the write was committed, such as a
    /// redirection to a login page. Its target alone is invalidated (RFC 9111 section 4.4).
    NotDone,
    /// The write may have been committed.
    Unknown,
    /// The write was not committed.
    Refused,
}

impl WriteOutcome {
    pub(super) fn of_http(status: StatusCode) -> Self {
        if invalidation::describes_outcome(status) {
            Self::Written
        } else if status.is_redirection() {
            Self::NotDone
        } else if status.is_client_error() || says_nothing_was_done(status) {
            Self::Refused
        } else {
            Self::Unknown
        }
    }

    /// From the head of a gRPC response; `None` if the status follows in the trailers.
    pub(super) fn of_grpc(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if status != StatusCode::OK {
            // The response is not gRPC, so that even a success status does not show a commit.
            return Some(match Self::of_http(status) {
                Self::Written => Self::Unknown,
                other => other,
            });
        }
        let has_status = headers.contains_key(GRPC_STATUS);
        has_status.then(|| Self::of_grpc_status(Some(headers)))
    }

    /// From the header or trailer fields that should contain `grpc-status`.
    pub(super) fn of_grpc_status(fields: Option<&HeaderMap>) -> Self {
        let status = fields.and_then(|fields| fields.get(GRPC_STATUS));
        match status.map(|status| status.as_bytes()) {
            Some(b"0") => Self::Written,
            // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION,
            // OUT_OF_RANGE, UNIMPLEMENTED, UNAUTHENTICATED: like a 4xx of HTTP.
            Some(b"3" | b"5" | b"6" | b"7" | b"9" | b"11" | b"12" | b"16") => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// The server errors by which the method or the version of the request is not supported (RFC 9110
/// sections 15.6.2 and 15.6.6).
fn says_nothing_was_done(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(status: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(status))])
    }

    #[test]
    fn http_statuses_map_to_outcomes() {
        for (status, outcome) in [
            (200, WriteOutcome::Written),
            (204, WriteOutcome::Written),
            (303, WriteOutcome::Written),
            (301, WriteOutcome::NotDone),
            (302, WriteOutcome::NotDone),
            (307, WriteOutcome::NotDone),
            (308, WriteOutcome::NotDone),
            (404, WriteOutcome::Refused),
            (500, WriteOutcome::Unknown),
            (501, WriteOutcome::Refused),
            (505, WriteOutcome::Refused),
            (504, WriteOutcome::Unknown),
            (101, WriteOutcome::Unknown),
            (999, WriteOutcome::Unknown),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(WriteOutcome::of_http(status), outcome, "{status}");
        }
    }

    #[test]
    fn grpc_statuses_map_to_outcomes() {
        for (status, outcome) in [
            ("0", WriteOutcome::Written),
            ("3", WriteOutcome::Refused),
            ("16", WriteOutcome::Refused),
            ("1", WriteOutcome::Unknown),
            ("4", WriteOutcome::Unknown),
            ("14", WriteOutcome::Unknown),
            ("00", WriteOutcome::Unknown),
        ] {
            let fields = fields(status);
            assert_eq!(
                WriteOutcome::of_grpc_status(Some(&fields)),
                outcome,
                "{status}"
            );
            assert_eq!(
                WriteOutcome::of_grpc(StatusCode::OK, &fields),
                Some(outcome)
            );
        }
        let none = HeaderMap::new();
        assert_eq!(WriteOutcome::of_grpc_status(None), WriteOutcome::Unknown);
        assert_eq!(WriteOutcome::of_grpc(StatusCode::OK, &none), None);
        let gone = WriteOutcome::of_grpc(StatusCode::BAD_GATEWAY, &none);
        assert_eq!(gone, Some(WriteOutcome::Unknown));
        let odd = WriteOutcome::of_grpc(StatusCode::NO_CONTENT, &none);
        assert_eq!(odd, Some(WriteOutcome::Unknown));
    }
}
