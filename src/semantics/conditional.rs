//! Conditional requests: evaluating those of clients, and making those that validate stored
//! responses (RFC 9111 sections 4.3.1 to 4.3.4, RFC 9110 section 13).

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE,
        ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
        LAST_MODIFIED, RANGE, TRAILER,
    },
};

use super::{
    dates::DateField,
    etag::{self, EntityTag},
};
use crate::clock::Timestamp;

/// Whether a 304 answers a GET or HEAD request, by its `If-None-Match`, or else its
/// `If-Modified-Since` (RFC 9110 section 13.2.2).
///
/// `If-Match` and `If-Unmodified-Since` are for the origin server alone (RFC 9111 section 4.3.2).
/// `received` is when the stored response was received; it replaces a missing `Date`.
pub(crate) fn is_not_modified(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    received: Timestamp,
) -> bool {
    // Section 13.2.1: only if the response would be a success without them.
    status.is_success()
        && if request.contains_key(IF_NONE_MATCH) {
            names_stored_tag(request, stored)
        } else {
            request.contains_key(IF_MODIFIED_SINCE) && unmodified_since(request, stored, received)
        }
}

/// Whether one of the tags matches by weak comparison, or is `*` (RFC 9110 section 13.1.2).
fn names_stored_tag(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let own = EntityTag::of(stored);
    request.get_all(IF_NONE_MATCH).iter().any(|line| {
        let line = line.as_bytes();
        line == b"*" || own.is_some_and(|own| etag::tags(line).any(|tag| tag.weakly_equals(own)))
    })
}

/// Whether `If-Modified-Since` is not before the stored response's modification (RFC 9110 section
/// 13.1.3); `Date` replaces a missing `Last-Modified` (RFC 9111 section 4.3.2).
fn unmodified_since(request: &HeaderMap, stored: &HeaderMap, received: Timestamp) -> bool {
    let read = |headers, name| DateField::read(headers, name, received).valid();
    let modified = read(stored, &LAST_MODIFIED)
        .or_else(|| read(stored, &DATE))
        .unwrap_or(received);
    read(request, &IF_MODIFIED_SINCE).is_some_and(|since| modified <= since)
}

/// Turns the head of a stored response into that of a 304 (RFC 9110 section 15.4.5).
///
/// Removes the fields that describe content; the others may be of use to the client's own cache.
pub(crate) fn make_not_modified(headers: &mut HeaderMap) {
    for name in DESCRIBES_CONTENT {
        headers.remove(name);
    }
}

const DESCRIBES_CONTENT: [HeaderName; 6] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_RANGE,
    TRAILER,
];

/// Removes the preconditions and the range of a request, so that the response can be stored and
/// used for others.
pub(crate) fn make_unconditional(request: &mut HeaderMap) {
    for name in [
        IF_NONE_MATCH,
        IF_MODIFIED_SINCE,
        IF_MATCH,
        IF_UNMODIFIED_SINCE,
        IF_RANGE,
        RANGE,
    ] {
        request.remove(name);
    }
}

/// Replaces the preconditions of a request by those that validate `stored` (RFC 9111 section
/// 4.3.1). Returns false if `stored` has no validator; then the request asks for a full response.
///
/// Leave the fields that `Vary` names as the client sent them.
pub(crate) fn validate(request: &mut HeaderMap, status: StatusCode, stored: &HeaderMap) -> bool {
    make_unconditional(request);
    add_validators(request, status, stored)
}

/// Adds the preconditions that validate `stored`, and leaves a range in place, which applies if the
/// response has changed (RFC 9110 section 13.2.2). Returns false if `stored` has no validator.
pub(crate) fn add_validators(
    request: &mut HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
) -> bool {
    if !etag::can_be_validated(status, stored) {
        return false;
    }
    if EntityTag::of(stored).is_some()
        && let Some(tag) = stored.get(ETAG)
    {
        request.insert(IF_NONE_MATCH, tag.clone());
    }
    if let Some(modified) = etag::modification(stored) {
        request.insert(IF_MODIFIED_SINCE, modified.clone());
    }
    true
}

/// Whether a 304 to a request made by [`validate`] selects the stored response
/// (RFC 9111 section 4.3.4).
///
/// A 304 without a comparable validator selects it, because the request named no other response.
pub(crate) fn selects(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    match (EntityTag::of(not_modified), EntityTag::of(stored)) {
        (Some(new), Some(own)) if new.is_strong() => new.strongly_equals(own),
        (Some(new), Some(own)) => new.weakly_equals(own),
        (Some(new), None) => !new.is_strong(),
        (None, _) => same_date_if_any(not_modified, stored),
    }
}

fn same_date_if_any(new: &HeaderMap, stored: &HeaderMap) -> bool {
    match (new.get(LAST_MODIFIED), stored.get(LAST_MODIFIED)) {
        (Some(new), Some(own)) => new == own,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::dates;

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn map(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    fn ago(seconds: u64) -> String {
        let date = dates::format(Timestamp(NOW.0 - seconds * 1000));
        date.to_str().expect("a date").to_owned()
    }

    fn unmodified(request: &[(HeaderName, &str)], stored: &[(HeaderName, &str)]) -> bool {
        is_not_modified(&map(request), StatusCode::OK, &map(stored), NOW)
    }

    #[test]
    fn if_none_match_compares_weakly() {
        // RFC 9110 section 13.1.2
        let asked = |list: &str, tag: &str| unmodified(&[(IF_NONE_MATCH, list)], &[(ETAG, tag)]);
        assert!(asked("\"a\"", "\"a\""));
        assert!(asked("W/\"a\"", "W/\"a\""));
        assert!(asked("W/\"a\"", "\"a\""));
        assert!(asked("\"1\", \"a\", \"2\"", "\"a\""));
        assert!(asked("\"1,a\",\"a\"", "\"a\""));
        assert!(asked("*", "\"a\""));
        assert!(!asked("\"1\", \"2\"", "\"a\""));
        assert!(!asked("\"1, \"a\"\"", "\"a\""));
        assert!(unmodified(
            &[(IF_NONE_MATCH, "\"1\""), (IF_NONE_MATCH, "\"a\"")],
            &[(ETAG, "\"a\"")]
        ));
        assert!(unmodified(&[(IF_NONE_MATCH, "*")], &[]));
        assert!(!unmodified(&[(IF_NONE_MATCH, "\"a\"")], &[]));
    }

    #[test]
    fn if_none_match_takes_precedence() {
        // RFC 9110 section 13.2.2
        let (old, new) = (ago(5000), ago(1));
        let stored = [(LAST_MODIFIED, old.as_str()), (ETAG, "\"a\"")];
        assert!(unmodified(
            &[(IF_NONE_MATCH, "\"a\""), (IF_MODIFIED_SINCE, &ago(9000))],
            &stored
        ));
        assert!(!unmodified(
            &[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, &new)],
            &stored
        ));
    }

    #[test]
    fn if_modified_since_compares_dates() {
        // RFC 9110 section 13.1.3, RFC 9111 section 4.3.2
        let stored_at = ago(3000);
        let since = |date: &str, stored: HeaderName| {
            unmodified(&[(IF_MODIFIED_SINCE, date)], &[(stored, &stored_at)])
        };
        assert!(since(&ago(3000), LAST_MODIFIED));
        assert!(since(&ago(2000), LAST_MODIFIED));
        assert!(!since(&ago(3001), LAST_MODIFIED));
        assert!(!since("0", LAST_MODIFIED));
        assert!(since(&ago(3000), DATE));
        assert!(!since(&ago(4000), DATE));
        assert!(unmodified(&[(IF_MODIFIED_SINCE, &ago(0))], &[]));
        assert!(!unmodified(&[(IF_MODIFIED_SINCE, &ago(1))], &[]));
        let rfc850 = "Sunday, 06-Nov-94 08:49:37 GMT";
        assert!(unmodified(
            &[(IF_MODIFIED_SINCE, rfc850)],
            &[(LAST_MODIFIED, "Sun Nov  6 08:49:37 1994")]
        ));
    }

    #[test]
    fn preconditions_apply_only_to_a_success() {
        // RFC 9110 section 13.2.1
        let request = map(&[(IF_NONE_MATCH, "*")]);
        let stored = HeaderMap::new();
        assert!(!is_not_modified(
            &request,
            StatusCode::NOT_FOUND,
            &stored,
            NOW
        ));
    }

    #[test]
    fn a_304_keeps_the_fields_that_caches_use() {
        // RFC 9110 section 15.4.5
        let mut headers = map(&[
            (ETAG, "\"a\""),
            (DATE, "x"),
            (CONTENT_LENGTH, "3"),
            (CONTENT_TYPE, "x"),
            (CONTENT_ENCODING, "x"),
            (LAST_MODIFIED, "x"),
            (http::header::CONTENT_LOCATION, "/x"),
            (http::header::VARY, "x"),
        ]);
        make_not_modified(&mut headers);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["content-location", "date", "etag", "last-modified", "vary"]
        );
    }

    #[test]
    fn validation_uses_every_validator() {
        // RFC 9111 section 4.3.1
        let modified = ago(10);
        let mut request = map(&[
            (IF_NONE_MATCH, "\"x\""),
            (RANGE, "bytes=0-1"),
            (IF_RANGE, "\"x\""),
            (IF_MATCH, "*"),
        ]);
        assert!(validate(
            &mut request,
            StatusCode::OK,
            &map(&[(ETAG, "W/\"a\""), (LAST_MODIFIED, &modified)])
        ));
        assert_eq!(
            request,
            map(&[(IF_NONE_MATCH, "W/\"a\""), (IF_MODIFIED_SINCE, &modified)])
        );
        for (status, headers) in [
            (StatusCode::OK, map(&[(LAST_MODIFIED, "foo")])),
            (StatusCode::NOT_FOUND, map(&[(ETAG, "\"a\"")])),
        ] {
            assert!(!validate(&mut request, status, &headers));
        }
        assert!(request.is_empty());
    }

    #[test]
    fn a_304_must_select_the_stored_response() {
        // RFC 9111 section 4.3.4
        let chosen =
            |new: &[(HeaderName, &str)], own: &[(HeaderName, &str)]| selects(&map(new), &map(own));
        assert!(chosen(&[(ETAG, "\"a\"")], &[(ETAG, "\"a\"")]));
        assert!(!chosen(&[(ETAG, "\"b\"")], &[(ETAG, "\"a\"")]));
        assert!(!chosen(&[(ETAG, "\"a\"")], &[(ETAG, "W/\"a\"")]));
        assert!(chosen(&[(ETAG, "W/\"a\"")], &[(ETAG, "\"a\"")]));
        assert!(!chosen(&[(ETAG, "\"a\"")], &[]));
        assert!(chosen(&[(LAST_MODIFIED, "x")], &[(LAST_MODIFIED, "x")]));
        assert!(!chosen(
            &[(LAST_MODIFIED, "x")],
            &[(LAST_MODIFIED, "y"), (ETAG, "\"a\"")]
        ));
        assert!(chosen(&[], &[(LAST_MODIFIED, "y"), (ETAG, "\"a\"")]));
    }

    proptest! {
        #[test]
        fn any_text_is_accepted(list in "[ -~]{0,40}", tag in "[ -~]{0,20}") {
            unmodified(&[(IF_NONE_MATCH, &list)], &[(ETAG, &tag)]);
            unmodified(&[(IF_MODIFIED_SINCE, &list)], &[(LAST_MODIFIED, &tag)]);
        }

        #[test]
        fn a_listed_tag_is_found(before in "\"[a-z,]{0,5}\"", tag in "\"[a-z,]{0,5}\"", after in "\"[a-z,]{0,5}\"") {
            let list = format!("{before} ,{tag},{after}");
            prop_assert!(unmodified(&[(IF_NONE_MATCH, &list)], &[(ETAG, &tag)]));
        }
    }
}
