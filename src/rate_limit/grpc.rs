//! The refusal of a gRPC request: trailers-only, with the details that a client needs to retry.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use super::decision::{Decision, seconds};
use crate::semantics::grpc::GRPC_STATUS;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcStatus {
    ResourceExhausted = 8,
    Unavailable = 14,
}

/// Writes the status into the header fields of a response without content.
///
/// `grpc-retry-pushback-ms` is negative if retrying will never help (gRFC A6).
pub(super) fn put(
    headers: &mut HeaderMap,
    request: &HeaderMap,
    decision: &Decision,
    status: GrpcStatus,
    retry_after: Option<u64>,
) {
    let kind = request.get(CONTENT_TYPE).cloned();
    let kind = kind.unwrap_or(HeaderValue::from_static("application/grpc"));
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(GRPC_STATUS, HeaderValue::from(status as u16));
    let message = message(decision, status);
    // gRPC encodes binary metadata without padding.
    let details = status_details(decision, status, &message, retry_after);
    let details = STANDARD_NO_PAD.encode(details);
    let pushback = retry_after.map_or(-1, |micros| {
        i32::try_from(micros.div_ceil(1000)).unwrap_or(i32::MAX)
    });
    for (name, text) in [(GRPC_MESSAGE, message), (GRPC_DETAILS, details)] {
        // Never fails: limit names and base64 are visible ASCII.
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
    headers.insert(GRPC_PUSHBACK, HeaderValue::from(pushback));
}

fn message(decision: &Decision, status: GrpcStatus) -> String {
    let mut message = match status {
        GrpcStatus::ResourceExhausted => "quota exceeded".to_owned(),
        GrpcStatus::Unavailable => "quota cannot be counted".to_owned(),
    };
    for limit in decision.refusals() {
        let _ = write!(message, " {}", limit.name());
    }
    message
}

/// A `google.rpc.Status` with a `RetryInfo` and a `QuotaFailure`.
fn status_details(
    decision: &Decision,
    status: GrpcStatus,
    message: &str,
    retry_after: Option<u64>,
) -> Protobuf {
    let mut details = Protobuf::default();
    details.number(1, status as u64).bytes(2, message);
    if let Some(micros) = retry_after {
        details.bytes(3, any("google.rpc.RetryInfo", &retry_info(micros)));
    }
    details.bytes(3, any("google.rpc.QuotaFailure", &quota_failure(decision)));
    details
}

fn retry_info(micros: u64) -> Protobuf {
    let (mut info, mut duration) = (Protobuf::default(), Protobuf::default());
    duration
        .number(1, micros / 1_000_000)
        .number(2, micros % 1_000_000 * 1000);
    info.bytes(1, duration);
    info
}

fn quota_failure(decision: &Decision) -> Protobuf {
    let mut failure = Protobuf::default();
    for limit in decision.refusals() {
        let window = seconds(u64::try_from(limit.window().as_micros()).unwrap_or(u64::MAX));
        let mut violation = Protobuf::default();
        violation
            .bytes(1, format!("limit:{}", limit.name()))
            .bytes(2, format!("{} per {window} seconds", limit.limit()));
        failure.bytes(1, violation);
    }
    failure
}

fn any(name: &str, message: &Protobuf) -> Protobuf {
    let mut any = Protobuf::default();
    any.bytes(1, format!("type.googleapis.com/{name}"))
        .bytes(2, message);
    any
}

/// An encoded Protocol Buffers message.
#[derive(Debug, Default)]
struct Protobuf(Vec<u8>);

impl Protobuf {
    /// Appends a number. A field whose value is 0 is omitted, as proto3 requires of defaults.
    fn number(&mut self, field: u8, number: u64) -> &mut Self {
        if number != 0 {
            self.0.push(field << 3);
            self.varint(number);
        }
        self
    }

    fn bytes(&mut self, field: u8, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

impl AsRef<[u8]> for Protobuf {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_info_matches_the_output_of_protoc() {
        // RetryInfo { retry_delay: Duration { seconds: 1, nanos: 500000000 } }
        let expected = [0x0a, 0x08, 0x08, 0x01, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
        assert_eq!(retry_info(1_500_000).as_ref(), expected);
        assert_eq!(retry_info(0).as_ref(), [0x0a, 0x00]);
    }
}
