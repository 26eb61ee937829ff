//! The content of a 206 response: slices of the stored body, not copied (RFC 9110 section 14.6).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
};
use smallvec::{SmallVec, smallvec};

use super::{
    partial::ContentRange,
    range::{Span, Spans},
    stored_response::{Part, StoredResponse},
};

/// The chunks of a body, in the order in which they are sent.
pub(crate) type Chunks = SmallVec<[Bytes; 1]>;

/// Turns `headers`, the fields of `stored`, into the head of a 206 with `spans`, and returns its
/// content.
///
/// `boundary` separates several spans: up to 70 letters and digits that the body does not contain.
pub(crate) fn partial_content(
    spans: &Spans,
    stored: &StoredResponse,
    boundary: &str,
    headers: &mut HeaderMap,
) -> Chunks {
    let bytes = StoredBytes::of(stored);
    match spans.as_slice() {
        [span] => {
            headers.insert(CONTENT_RANGE, value(bytes.content_range(*span)));
            headers.insert(CONTENT_LENGTH, span.length().into());
            smallvec![bytes.slice(*span)]
        }
        spans => {
            let chunks = bytes.multipart(spans, boundary, headers.get(CONTENT_TYPE));
            let length: usize = chunks.iter().map(Bytes::len).sum();
            headers.remove(CONTENT_RANGE);
            headers.insert(CONTENT_LENGTH, (length as u64).into());
            let media_type = format!("multipart/byteranges; boundary={boundary}");
            headers.insert(CONTENT_TYPE, value(media_type));
            chunks
        }
    }
}

/// The head of a 416 for a representation of `complete` bytes (RFC 9110 section 15.5.17).
pub(crate) fn unsatisfiable_head(complete: u64) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_RANGE, value(format!("bytes */{complete}")));
    headers.insert(CONTENT_LENGTH, 0.into());
    headers
}

fn value(text: String) -> HeaderValue {
    // Fails only for a boundary with control characters, which no caller passes.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

struct StoredBytes<'a> {
    body: &'a Bytes,
    part: Part,
}

impl<'a> StoredBytes<'a> {
    fn of(stored: &'a StoredResponse) -> Self {
        let body = &stored.body;
        let part = stored.part.unwrap_or(Part {
            first: 0,
            complete: Some(body.len() as u64),
        });
        Self { body, part }
    }

    /// The bytes of a span, as far as they are stored.
    fn slice(&self, span: Span) -> Bytes {
        let length = self.body.len();
        let at = |position: u64| {
            usize::try_from(position.saturating_sub(self.part.first))
                .map_or(length, |at| at.min(length))
        };
        let start = at(span.first);
        let end = at(span.last.saturating_add(1)).max(start);
        self.body.slice(start..end)
    }

    fn content_range(&self, Span { first, last }: Span) -> String {
        let complete = self.part.complete;
        ContentRange {
            first,
            last,
            complete,
        }
        .to_string()
    }

    fn multipart(
        &self,
        spans: &[Span],
        boundary: &str,
        media_type: Option<&HeaderValue>,
    ) -> Chunks {
        let mut chunks = Chunks::with_capacity(spans.len() * 2 + 1);
        for (index, span) in spans.iter().enumerate() {
            let start = if index == 0 { "" } else { "\r\n" };
            let mut head = format!("{start}--{boundary}\r\n").into_bytes();
            if let Some(media_type) = media_type {
                head.extend_from_slice(b"Content-Type: ");
                head.extend_from_slice(media_type.as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            let range = self.content_range(*span);
            head.extend_from_slice(format!("Content-Range: {range}\r\n\r\n").as_bytes());
            chunks.push(head.into());
            chunks.push(self.slice(*span));
        }
        chunks.push(format!("\r\n--{boundary}--\r\n").into());
        chunks
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::{freshness::Lifetime, stored_response::Part};

    fn stored(body: &'static [u8], part: Option<Part>) -> StoredResponse {
        StoredResponse {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]),
            body: Bytes::from_static(body),
            trailers: None,
            lifetime: Lifetime::default(),
            part,
            cost: Duration::ZERO,
        }
    }

    fn cut(pairs: &[(u64, u64)], stored: &StoredResponse) -> (HeaderMap, Vec<u8>) {
        let spans = pairs
            .iter()
            .map(|&(first, last)| Span { first, last })
            .collect();
        let mut headers = stored.headers.clone();
        let chunks = partial_content(&spans, stored, "B", &mut headers);
        (headers, chunks.concat())
    }

    #[test]
    fn one_span_is_the_whole_content() {
        // RFC 9110 section 15.3.7.1
        let (headers, body) = cut(&[(2, 4)], &stored(b"0123456789", None));
        assert_eq!(body, b"234");
        assert_eq!(
            (&headers[CONTENT_RANGE], &headers[CONTENT_LENGTH]),
            (
                &HeaderValue::from_static("bytes 2-4/10"),
                &HeaderValue::from_static("3")
            )
        );
        let part = Part {
            first: 4,
            complete: None,
        };
        let (headers, body) = cut(&[(6, 8)], &stored(b"45678", Some(part)));
        assert_eq!(
            (&headers[CONTENT_RANGE], &body[..]),
            (&HeaderValue::from_static("bytes 6-8/*"), &b"678"[..])
        );
    }

    #[test]
    fn several_spans_are_a_multipart_body() {
        // RFC 9110 section 14.6 and 15.3.7.2
        let (headers, body) = cut(&[(0, 1), (9, 9)], &stored(b"0123456789", None));
        let expected = "--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
                        --B\r\nContent-Type: text/plain\r\nContent-Range: bytes 9-9/10\r\n\r\n9\r\n--B--\r\n";
        assert_eq!(String::from_utf8_lossy(&body), expected);
        assert_eq!(headers[CONTENT_TYPE], "multipart/byteranges; boundary=B");
        assert_eq!(headers[CONTENT_LENGTH], expected.len().to_string());
        assert!(!headers.contains_key(CONTENT_RANGE));
    }

    #[test]
    fn a_span_shares_the_bytes_of_the_stored_body() {
        let whole = stored(b"0123456789", None);
        let spans = [Span { first: 3, last: 5 }].into_iter().collect();
        let chunks = partial_content(&spans, &whole, "B", &mut HeaderMap::new());
        assert_eq!(chunks[0].as_ptr(), whole.body[3..].as_ptr());
    }

    #[test]
    fn a_416_states_the_complete_length() {
        // RFC 9110 section 15.5.17
        assert_eq!(unsatisfiable_head(10)[CONTENT_RANGE], "bytes */10");
    }

    proptest! {
        #[test]
        fn slices_are_within_the_body(first: u64, last: u64, offset in proptest::option::of(any::<u64>())) {
            prop_assume!(first <= last);
            let part = offset.map(|first| Part { first, complete: None });
            cut(&[(first, last)], &stored(b"0123456789", part));
            cut(&[(first, last), (first, last)], &stored(b"0123456789", part));
        }
    }
}
