//! Whether a write has happened, as far as its answer tells.

use http::{HeaderMap, HeaderName, StatusCode};

/// What an answer says of the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    /// It may have been written all the same.
    Unknown,
    /// Nothing was written.
    Refused,
}

impl Outcome {
    pub(super) fn of_http(status: StatusCode) -> Self {
        if status.is_success() || status.is_redirection() {
            Self::Written
        } else if status.is_client_error() {
            Self::Refused
        } else {
            Self::Unknown
        }
    }

    /// From the head of a gRPC answer; `None` if its status comes in the trailers.
    pub(super) fn of_grpc(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if status != StatusCode::OK {
            // Whatever answered does not speak gRPC, so that its success says nothing.
            return Some(match Self::of_http(status) {
                Self::Written => Self::Unknown,
                other => other,
            });
        }
        let has_status = headers.contains_key(GRPC_STATUS);
        has_status.then(|| Self::of_grpc_status(Some(headers)))
    }

    /// From the fields that should hold `grpc-status`.
    pub(super) fn of_grpc_status(fields: Option<&HeaderMap>) -> Self {
        let status = fields.and_then(|fields| fields.get(GRPC_STATUS));
        match status.map(|status| status.as_bytes()) {
            Some(b"0") => Self::Written,
            // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION,
            // OUT_OF_RANGE, UNIMPLEMENTED, UNAUTHENTICATED: what an HTTP server answers 4xx for.
            Some(b"3" | b"5" | b"6" | b"7" | b"9" | b"11" | b"12" | b"16") => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn fields(status: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static(status))])
    }

    #[test]
    fn http_statuses() {
        for (status, outcome) in [
            (200, Outcome::Written),
            (204, Outcome::Written),
            (303, Outcome::Written),
            (404, Outcome::Refused),
            (500, Outcome::Unknown),
            (504, Outcome::Unknown),
            (101, Outcome::Unknown),
            (999, Outcome::Unknown),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(Outcome::of_http(status), outcome, "{status}");
        }
    }

    #[test]
    fn grpc_statuses() {
        for (status, outcome) in [
            ("0", Outcome::Written),
            ("3", Outcome::Refused),
            ("16", Outcome::Refused),
            ("1", Outcome::Unknown),
            ("4", Outcome::Unknown),
            ("14", Outcome::Unknown),
            ("00", Outcome::Unknown),
        ] {
            let fields = fields(status);
            assert_eq!(Outcome::of_grpc_status(Some(&fields)), outcome, "{status}");
            assert_eq!(Outcome::of_grpc(StatusCode::OK, &fields), Some(outcome));
        }
        let none = HeaderMap::new();
        assert_eq!(Outcome::of_grpc_status(None), Outcome::Unknown);
        assert_eq!(Outcome::of_grpc(StatusCode::OK, &none), None);
        let gone = Outcome::of_grpc(StatusCode::BAD_GATEWAY, &none);
        assert_eq!(gone, Some(Outcome::Unknown));
        let odd = Outcome::of_grpc(StatusCode::NO_CONTENT, &none);
        assert_eq!(odd, Some(Outcome::Unknown));
    }
}
