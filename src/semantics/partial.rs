//! Storing, completing and combining parts of representations (RFC 9111 sections 3.3 and 3.4).

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE},
};

use super::{etag, list, stored_response::Part};

/// `Content-Range: bytes first-last/complete` (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) complete: Option<u64>,
}

impl ContentRange {
    /// The range of a message; `None` unless it has exactly one, in bytes, that is consistent.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(list::sole_line(headers, &CONTENT_RANGE)?.as_bytes())
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?;
        let (unit, range) = value.split_once(' ')?;
        let (range, complete) = range.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let complete = match complete {
            "*" => None,
            digits => Some(number(digits)?),
        };
        let (first, last) = (number(first)?, number(last)?);
        let consistent = first <= last && complete.is_none_or(|complete| last < complete);
        let range = Self {
            first,
            last,
            complete,
        };
        (unit.eq_ignore_ascii_case("bytes") && consistent).then_some(range)
    }

    /// The part that `length` bytes of content represent.
    ///
    /// The content of a complete message may be shorter than a range that reaches the end of the
    /// representation. Then the first position is trusted, and the content is assumed to end with
    /// the representation, whose length is then not known for certain: [`combine`] never makes a
    /// whole of such a part, and a range that begins at 0 is not used at all. Content with any other
    /// mismatch cannot be used.
    pub(crate) fn part(&self, length: u64) -> Option<Part> {
        let claimed = (self.last - self.first).checked_add(1)?;
        let to_end = self.complete == self.last.checked_add(1);
        if length == claimed {
            return Some(Part {
                first: self.first,
                complete: self.complete,
            });
        }
        (to_end && length < claimed && length > 0 && self.first > 0).then(|| Part {
            first: self.first,
            complete: Some(self.first + length),
        })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.complete {
            Some(complete) => complete.fmt(f),
            None => f.write_str("*"),
        }
    }
}

/// Parses digits, without the sign that `parse` would allow.
pub(super) fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok())?
}

/// The part of a representation that a 206 contains; `None` if it cannot be stored.
pub(crate) fn part(headers: &HeaderMap, length: u64) -> Option<Part> {
    ContentRange::of(headers)?.part(length)
}

/// The request fields that ask for the missing rest of a stored part (RFC 9111 section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Completion {
    pub(crate) range: HeaderValue,
    /// The validator that allows combining the rest with the stored part. Without one, a 206
    /// cannot be combined, and the request must be repeated without `Range`.
    pub(crate) if_range: Option<HeaderValue>,
}

/// The fields that request the rest of a part that contains the beginning or the end of the representation.
pub(crate) fn completion(headers: &HeaderMap, part: Part, length: u64) -> Option<Completion> {
    let end = part.first.checked_add(length)?;
    let range = if part.first == 0 {
        format!("bytes={end}-")
    } else if part.complete == Some(end) {
        format!("bytes=0-{}", part.first - 1)
    } else {
        return None;
    };
    Some(Completion {
        range: HeaderValue::try_from(range).ok()?,
        if_range: etag::strong_validator(headers).cloned(),
    })
}

/// The content of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartContent {
    pub(crate) part: Part,
    pub(crate) body: Bytes,
}

impl PartContent {
    fn end(&self) -> Option<u64> {
        self.part.first.checked_add(self.body.len() as u64)
    }

    /// Whether the part is the whole representation.
    pub(crate) fn is_whole(&self) -> bool {
        self.part.first == 0 && self.part.complete.is_some() && self.part.complete == self.end()
    }
}

/// Combines two parts that are adjacent or overlap, and have the same strong validator (RFC 9111
/// section 3.4).
///
/// Where they overlap, takes the bytes of `newer`. Copies the bytes once.
pub(crate) fn combine(
    stored: (&HeaderMap, &PartContent),
    newer: (&HeaderMap, &PartContent),
) -> Option<PartContent> {
    let ((stored_headers, stored), (newer_headers, newer)) = (stored, newer);
    if !etag::same_strong_validator(stored_headers, newer_headers) {
        return None;
    }
    let complete = match (stored.part.complete, newer.part.complete) {
        (Some(a), Some(b)) if a != b => return None,
        (Some(a), Some(_)) => Some(a),
        // Not the length that only one part states: its content may be shorter than its range, so
        // that the combination would be taken for a whole although its end is missing.
        _ => None,
    };
    let (stored_end, newer_end) = (stored.end()?, newer.end()?);
    if newer.part.first > stored_end || stored.part.first > newer_end {
        return None;
    }
    let before = newer.part.first.saturating_sub(stored.part.first);
    let after = stored_end.saturating_sub(newer_end);
    let stored_len = stored.body.len();
    let before = stored
        .body
        .slice(..usize::try_from(before).ok()?.min(stored_len));
    let after = stored
        .body
        .slice(stored_len - usize::try_from(after).ok()?.min(stored_len)..);
    let mut body = BytesMut::with_capacity(before.len() + newer.body.len() + after.len());
    body.extend_from_slice(&before);
    body.extend_from_slice(&newer.body);
    body.extend_from_slice(&after);
    let part = Part {
        first: stored.part.first.min(newer.part.first),
        complete,
    };
    let body = body.freeze();
    Some(PartContent { part, body })
}

/// Changes `headers` to describe `content`, and returns the status it is stored with.
pub(crate) fn describe(content: &PartContent, headers: &mut HeaderMap) -> StatusCode {
    let length = content.body.len() as u64;
    headers.insert(CONTENT_LENGTH, length.into());
    if content.is_whole() {
        headers.remove(CONTENT_RANGE);
        return StatusCode::OK;
    }
    let Part { first, complete } = content.part;
    let last = first.saturating_add(length).saturating_sub(1);
    let range = ContentRange {
        first,
        last,
        complete,
    };
    if let Ok(range) = HeaderValue::try_from(range.to_string()) {
        headers.insert(CONTENT_RANGE, range);
    }
    StatusCode::PARTIAL_CONTENT
}

#[cfg(test)]
mod tests {
    use http::header::ETAG;
    use proptest::prelude::*;

    use super::*;

    fn range(value: &str) -> Option<(u64, u64, Option<u64>)> {
        let range = ContentRange::parse(value.as_bytes())?;
        Some((range.first, range.last, range.complete))
    }

    #[test]
    fn content_range_is_consistent_or_none() {
        // RFC 9110 section 14.4
        assert_eq!(range("bytes 4-9/10"), Some((4, 9, Some(10))));
        assert_eq!(range("Bytes 0-0/*"), Some((0, 0, None)));
        for invalid in [
            "bytes */10",
            "bytes 9-4/10",
            "bytes 4-10/10",
            "bytes 4-9",
            "4-9/10",
            "bytes=4-9/10",
            "items 4-9/10",
            "bytes +4-9/10",
            "bytes 4-9/10, bytes 0-1/10",
            "bytes 4-99999999999999999999/*",
            "",
        ] {
            assert_eq!(range(invalid), None, "{invalid}");
        }
    }

    fn part_of(value: &str, length: u64) -> Option<(u64, Option<u64>)> {
        let part = ContentRange::parse(value.as_bytes())?.part(length)?;
        Some((part.first, part.complete))
    }

    #[test]
    fn content_must_fit_its_range() {
        assert_eq!(part_of("bytes 4-9/10", 6), Some((4, Some(10))));
        assert_eq!(part_of("bytes 4-9/10", 5), Some((4, Some(9))));
        assert_eq!(part_of("bytes 4-9/10", 7), None);
        // It would be taken for the whole representation.
        assert_eq!(part_of("bytes 0-9/10", 5), None);
        assert_eq!(part_of("bytes 4-8/10", 4), None);
        assert_eq!(part_of("bytes 4-9/*", 5), None);
        assert_eq!(part_of("bytes 4-9/10", 0), None);
        assert_eq!(part_of("bytes 0-18446744073709551615/*", 1), None);
    }

    fn tagged(tag: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))])
    }

    fn piece(first: u64, complete: Option<u64>, body: &'static str) -> PartContent {
        PartContent {
            part: Part { first, complete },
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_missing_rest_is_requested() {
        // RFC 9111 section 3.3
        let ask = |first, complete| completion(&tagged("\"a\""), Part { first, complete }, 5);
        let prefix = ask(0, Some(10)).expect("a prefix");
        assert_eq!(
            (prefix.range.to_str().ok(), prefix.if_range.is_some()),
            (Some("bytes=5-"), true)
        );
        assert_eq!(ask(5, Some(10)).expect("a suffix").range, "bytes=0-4");
        assert_eq!(ask(2, Some(10)), None);
        let weak = completion(
            &tagged("W/\"a\""),
            Part {
                first: 0,
                complete: None,
            },
            5,
        );
        assert_eq!(weak.expect("a prefix").if_range, None);
    }

    #[test]
    fn parts_with_one_strong_validator_combine() {
        // RFC 9111 section 3.4
        let strong = tagged("\"a\"");
        let whole = combine(
            (&strong, &piece(0, Some(10), "01234")),
            (&strong, &piece(5, Some(10), "56789")),
        );
        let whole = whole.expect("they touch");
        assert!(whole.is_whole());
        assert_eq!(whole.body, "0123456789");
        let overlap = combine(
            (&strong, &piece(2, Some(10), "23456")),
            (&strong, &piece(0, Some(10), "abc")),
        )
        .expect("they overlap");
        assert_eq!(
            (overlap.part, &overlap.body[..]),
            (
                Part {
                    first: 0,
                    complete: Some(10)
                },
                &b"abc3456"[..]
            )
        );
        let inside = combine(
            (&strong, &piece(0, None, "0123456")),
            (&strong, &piece(2, None, "ab")),
        )
        .expect("one in the other");
        assert_eq!(inside.body, "01ab456");
    }

    /// Regression: the end of the representation was missing.
    #[test]
    fn a_part_shorter_than_its_range_never_makes_a_whole() {
        let strong = tagged("\"a\"");
        let short = ContentRange::parse(b"bytes 4-9/10").and_then(|range| range.part(5));
        let short = PartContent {
            part: short.expect("a part"),
            body: Bytes::from_static(b"45678"),
        };
        let prefix = piece(0, None, "0123");
        for (stored, newer) in [(&short, &prefix), (&prefix, &short)] {
            let combined = combine((&strong, stored), (&strong, newer)).expect("they touch");
            assert_eq!(combined.body, "012345678");
            assert!(!combined.is_whole());
        }
    }

    #[test]
    fn headers_describe_the_stored_content() {
        // RFC 9110 section 15.3.7.1
        let mut headers = HeaderMap::new();
        let part = describe(&piece(5, Some(10), "5678"), &mut headers);
        assert_eq!(
            (part, &headers[CONTENT_RANGE]),
            (
                StatusCode::PARTIAL_CONTENT,
                &HeaderValue::from_static("bytes 5-8/10")
            )
        );
        let whole = describe(&piece(0, Some(10), "0123456789"), &mut headers);
        assert_eq!(
            (whole, &headers[CONTENT_LENGTH]),
            (StatusCode::OK, &HeaderValue::from_static("10"))
        );
        assert!(!headers.contains_key(CONTENT_RANGE));
    }

    #[test]
    fn parts_of_different_representations_do_not_combine() {
        // RFC 9111 section 3.4
        let (strong, other, weak) = (tagged("\"a\""), tagged("\"b\""), tagged("W/\"a\""));
        let (left, right) = (piece(0, Some(10), "01234"), piece(5, Some(10), "56789"));
        assert_eq!(combine((&strong, &left), (&other, &right)), None);
        assert_eq!(combine((&weak, &left), (&weak, &right)), None);
        assert_eq!(
            combine((&HeaderMap::new(), &left), (&HeaderMap::new(), &right)),
            None
        );
        assert_eq!(
            combine((&strong, &left), (&strong, &piece(6, Some(10), "6789"))),
            None
        );
        assert_eq!(
            combine((&strong, &left), (&strong, &piece(5, Some(9), "5678"))),
            None
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_accepted(value: Vec<u8>, length: u64) {
            if let Some(range) = ContentRange::parse(&value) {
                range.part(length);
            }
        }

        #[test]
        fn a_combined_part_has_exactly_the_bytes_of_both(a in 0usize..20, b in 0usize..20, len_a in 1usize..20, len_b in 1usize..20) {
            let whole: Bytes = (0..40u8).collect();
            let cut = |first: usize, length: usize| PartContent {
                part: Part { first: first as u64, complete: Some(40) },
                body: whole.slice(first..first + length),
            };
            let strong = tagged("\"a\"");
            let (one, two) = (cut(a, len_a), cut(b, len_b));
            let combined = combine((&strong, &one), (&strong, &two));
            let touching = a <= b + len_b && b <= a + len_a;
            prop_assert_eq!(combined.is_some(), touching);
            if let Some(piece) = combined {
                let end = (a + len_a).max(b + len_b);
                prop_assert_eq!(piece.body, whole.slice(a.min(b)..end));
            }
        }
    }
}
