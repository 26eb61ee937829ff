//! The refusal of a gRPC request: trailers-only, with the details that a client needs to retry.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use super::decision::{Decision, seconds};

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GrpcStatus {
    ResourceExhausted = 8,
    Unavailable = 14,
}

/// Whether a request is one of gRPC or gRPC-Web, by its content type.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
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
    let details = base64(&status_details(decision, status, &message, retry_after));
    let pushback = retry_after.map_or(-1, |micros| {
        i32::try_from(micros.div_ceil(1000)).unwrap_or(i32::MAX)
    });
    for (name, text) in [(GRPC_MESSAGE, message), (GRPC_DETAILS, details)] {
        // never fails: limit names and base64 are visible ASCII
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
    for limit in decision.violated() {
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
) -> Vec<u8> {
    let mut details = Vec::with_capacity(256);
    varint_field(1, status as u64, &mut details);
    bytes_field(2, message.as_bytes(), &mut details);
    if let Some(micros) = retry_after {
        let retry_info = any("google.rpc.RetryInfo", &retry_info(micros));
        bytes_field(3, &retry_info, &mut details);
    }
    let quota_failure = any("google.rpc.QuotaFailure", &quota_failure(decision));
    bytes_field(3, &quota_failure, &mut details);
    details
}

fn retry_info(micros: u64) -> Vec<u8> {
    let mut duration = Vec::new();
    varint_field(1, micros / 1_000_000, &mut duration);
    varint_field(2, micros % 1_000_000 * 1000, &mut duration);
    let mut info = Vec::new();
    bytes_field(1, &duration, &mut info);
    info
}

fn quota_failure(decision: &Decision) -> Vec<u8> {
    let mut failure = Vec::new();
    for limit in decision.violated() {
        let window = seconds(u64::try_from(limit.window().as_micros()).unwrap_or(u64::MAX));
        let subject = format!("limit:{}", limit.name());
        let description = format!("{} per {window} seconds", limit.limit());
        let mut violation = Vec::new();
        bytes_field(1, subject.as_bytes(), &mut violation);
        bytes_field(2, description.as_bytes(), &mut violation);
        bytes_field(1, &violation, &mut failure);
    }
    failure
}

fn any(name: &str, message: &[u8]) -> Vec<u8> {
    let url = format!("type.googleapis.com/{name}");
    let mut any = Vec::new();
    bytes_field(1, url.as_bytes(), &mut any);
    bytes_field(2, message, &mut any);
    any
}

/// A field whose value is 0 is omitted, as proto3 requires of defaults.
fn varint_field(field: u8, number: u64, to: &mut Vec<u8>) {
    if number != 0 {
        to.push(field << 3);
        varint(number, to);
    }
}

fn bytes_field(field: u8, bytes: &[u8], to: &mut Vec<u8>) {
    to.push(field << 3 | 2);
    varint(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

fn varint(mut number: u64, to: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        if number == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}

/// Base64 (RFC 4648) without padding, as gRPC encodes binary metadata.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        for digit in 0..=chunk.len() {
            let six = bits >> (18 - 6 * digit) & 0x3f;
            text.push(char::from(DIGITS[six as usize]));
        }
    }
    text
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_examples_of_rfc_4648_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn retry_info_matches_the_output_of_protoc() {
        // RetryInfo { retry_delay: Duration { seconds: 1, nanos: 500000000 } }
        let expected = [0x0a, 0x08, 0x08, 0x01, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
        assert_eq!(retry_info(1_500_000), expected);
        assert_eq!(retry_info(0), [0x0a, 0x00]);
    }

    #[test]
    fn a_request_is_grpc_by_its_content_type() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", true),
            ("application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_grpc(&headers), is, "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
