//! Unary gRPC calls over HTTP: which are complete, and which have succeeded
//! (gRPC over HTTP2; gRPC-Web, whose trailers are the last frame of the body).

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};

pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether a message is gRPC or gRPC-Web, by its content type.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|content_type| {
        content_type
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    })
}

/// Whether the content is exactly one complete message.
pub(crate) fn is_one_message(content: &[u8]) -> bool {
    matches!(Frame::split(content), Some((frame, [])) if frame.is_message())
}

/// Whether the head of a response allows that the call succeeds. If it states a status other than 0, or
/// is not a gRPC head, it has failed.
pub(crate) fn may_succeed(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::OK && is_grpc(headers) && code(headers).is_none_or(|code| code == OK)
}

/// Whether a unary call has succeeded whose head [may succeed](may_succeed): its content is one complete
/// message, its status is stated, and every stated status is 0. A response without its trailers is
/// incomplete.
pub(crate) fn has_succeeded(
    headers: &HeaderMap,
    content: &[u8],
    trailers: Option<&HeaderMap>,
) -> bool {
    let Some((message, rest)) = Frame::split(content) else {
        return false;
    };
    let in_content = match Frame::split(rest) {
        None if rest.is_empty() => None,
        Some((frame, [])) if frame.flags == TRAILERS => {
            Some(code_in_text(frame.payload).unwrap_or(MALFORMED))
        }
        _ => return false,
    };
    let stated = [code(headers), trailers.and_then(code), in_content];
    let mut stated = stated.into_iter().flatten().peekable();
    message.is_message() && stated.peek().is_some() && stated.all(|code| code == OK)
}

/// Whether the head states an error of the server rather than of the caller: UNKNOWN, DEADLINE_EXCEEDED,
/// INTERNAL, UNAVAILABLE or DATA_LOSS. Like a 5xx, a stale response may replace it.
pub(crate) fn is_server_error(headers: &HeaderMap) -> bool {
    is_grpc(headers) && matches!(code(headers), Some(2 | 4 | 13 | 14 | 15))
}

/// A length-prefixed frame.
struct Frame<'a> {
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits the first frame from the rest; `None` if it is incomplete.
    fn split(content: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = content.split_first_chunk::<5>()?;
        let [flags, length @ ..] = *head;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let (payload, rest) = rest.split_at_checked(length)?;
        Some((Self { flags, payload }, rest))
    }

    /// Whether it is a message, which may be compressed, and not the trailers of gRPC-Web.
    fn is_message(&self) -> bool {
        self.flags <= COMPRESSED
    }
}

/// The code in `grpc-status`; [`MALFORMED`] if it is repeated or not a number.
fn code(fields: &HeaderMap) -> Option<u32> {
    let mut lines = fields.get_all(GRPC_STATUS).iter();
    let code = number(lines.next()?.as_bytes());
    Some(code.filter(|_| lines.next().is_none()).unwrap_or(MALFORMED))
}

/// The code in the trailers of gRPC-Web, which are lines `name: value`.
fn code_in_text(trailers: &[u8]) -> Option<u32> {
    let lines = trailers.split(|byte| *byte == b'\n');
    let mut codes = lines.filter_map(|line| {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let is_status = name.trim_ascii().eq_ignore_ascii_case(b"grpc-status");
        is_status.then(|| number(value[1..].trim_ascii()))
    });
    let code = codes.next()?;
    code.filter(|_| codes.next().is_none())
}

/// Parses decimal digits without a sign or leading zeros.
fn number(text: &[u8]) -> Option<u32> {
    let is_plain = matches!(text, b"0" | [b'1'..=b'9', ..]);
    if !is_plain || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

const PREFIX: &[u8] = b"application/grpc";
const OK: u32 = 0;
/// Not a code of gRPC, so it is treated as a failure.
const MALFORMED: u32 = u32::MAX;
/// The flag of a compressed message.
const COMPRESSED: u8 = 1;
/// The flag of the trailers of gRPC-Web.
const TRAILERS: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        fields.iter().map(field).collect()
    }

    const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

    #[test]
    fn only_one_complete_message_is_unary() {
        assert!(is_one_message(MESSAGE));
        assert!(is_one_message(b"\x01\0\0\0\0"));
        for other in [
            &b""[..],
            b"\0\0\0\0",
            b"\0\0\0\0\x03hi",
            b"\0\0\0\0\x02hi!",
            b"\0\0\0\0\x02hi\0\0\0\0\0",
            b"\x80\0\0\0\0",
            b"\xff\xff\xff\xff\xff",
        ] {
            assert!(!is_one_message(other), "{other:?}");
        }
    }

    #[test]
    fn a_call_succeeds_only_if_every_stated_status_is_0() {
        let none = head(&[]);
        let [zero, error] = ["0", "14"].map(|code| head(&[("grpc-status", code)]));
        assert!(has_succeeded(&none, MESSAGE, Some(&zero)));
        assert!(has_succeeded(&zero, MESSAGE, None));
        assert!(!has_succeeded(&none, MESSAGE, None));
        assert!(!has_succeeded(&none, MESSAGE, Some(&none)));
        assert!(!has_succeeded(&none, MESSAGE, Some(&error)));
        assert!(!has_succeeded(&zero, MESSAGE, Some(&error)));
        assert!(!has_succeeded(&error, MESSAGE, Some(&zero)));
        assert!(!has_succeeded(&zero, b"", None));
        assert!(!has_succeeded(&none, &MESSAGE[..6], Some(&zero)));
        let two = [MESSAGE, MESSAGE].concat();
        assert!(!has_succeeded(&none, &two, Some(&zero)));
        for odd in ["", "00", "+0", "-0", "00x", "-1", "OK", "4294967296"] {
            let odd = head(&[("grpc-status", odd)]);
            assert!(!has_succeeded(&none, MESSAGE, Some(&odd)), "{odd:?}");
        }
        let mut repeated = zero.clone();
        repeated.append(GRPC_STATUS, HeaderValue::from_static("0"));
        assert!(!has_succeeded(&none, MESSAGE, Some(&repeated)));
    }

    #[test]
    fn the_trailers_of_grpc_web_are_in_the_body() {
        let none = head(&[]);
        let body = |trailers: &[u8]| {
            let length = u8::try_from(trailers.len()).expect("short");
            [MESSAGE, &[0x80, 0, 0, 0, length], trailers].concat()
        };
        assert!(has_succeeded(&none, &body(b"grpc-status: 0\r\n"), None));
        assert!(has_succeeded(&none, &body(b"a:b\r\nGrpc-Status:0"), None));
        for failed in [
            &b"grpc-status: 14\r\n"[..],
            b"grpc-message: x\r\n",
            b"grpc-status: 0\r\ngrpc-status: 0\r\n",
            b"",
        ] {
            assert!(!has_succeeded(&none, &body(failed), None), "{failed:?}");
        }
    }

    #[test]
    fn errors_of_the_server_are_told_from_those_of_the_caller() {
        let with = |code| head(&[("content-type", "application/grpc"), ("grpc-status", code)]);
        for code in ["2", "4", "13", "14", "15"] {
            assert!(is_server_error(&with(code)), "{code}");
        }
        for code in ["0", "1", "3", "5", "7", "8", "16", "x"] {
            assert!(!is_server_error(&with(code)), "{code}");
        }
        assert!(!is_server_error(&head(&[("grpc-status", "14")])));
    }

    #[test]
    fn the_content_type_tells_grpc() {
        for grpc in [
            "application/grpc",
            "Application/gRPC+proto",
            "application/grpc-web",
        ] {
            assert!(is_grpc(&head(&[("content-type", grpc)])), "{grpc}");
        }
        assert!(!is_grpc(&head(&[("content-type", "application/json")])));
        assert!(!is_grpc(&head(&[])));
    }
}
