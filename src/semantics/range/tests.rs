use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue,
    header::{DATE, ETAG, LAST_MODIFIED},
};
use proptest::prelude::*;

use super::*;
use crate::semantics::{freshness::Lifetime, stored_response::Part};

fn stored(body: Bytes, part: Option<Part>) -> StoredResponse {
    StoredResponse {
        status: if part.is_some() {
            StatusCode::PARTIAL_CONTENT
        } else {
            StatusCode::OK
        },
        headers: HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"a\""))]),
        body,
        trailers: None,
        lifetime: Lifetime::default(),
        part,
        cost: Duration::ZERO,
    }
}

fn asking(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

fn of_ten(range: &str) -> Selection {
    let whole = stored(Bytes::from_static(b"0123456789"), None);
    select(&asking(&[(RANGE, range)]), &whole)
}

fn spans(pairs: &[(u64, u64)]) -> Selection {
    let spans = pairs.iter().map(|&(first, last)| Span { first, last });
    Selection::Spans(spans.collect())
}

#[test]
fn ranges_select_spans() {
    // RFC 9110 section 14.1.2
    assert_eq!(of_ten("bytes=0-1"), spans(&[(0, 1)]));
    assert_eq!(of_ten("BYTES=1-"), spans(&[(1, 9)]));
    assert_eq!(of_ten("bytes=-1"), spans(&[(9, 9)]));
    assert_eq!(of_ten("bytes=-20"), spans(&[(0, 9)]));
    assert_eq!(of_ten("bytes=8-99999999999999999999999"), spans(&[(8, 9)]));
    assert_eq!(
        of_ten("bytes= 0-0 , -1,, 4-5"),
        spans(&[(0, 0), (9, 9), (4, 5)])
    );
    assert_eq!(of_ten("bytes=0-0,20-30"), spans(&[(0, 0)]));
}

#[test]
fn ranges_beyond_the_end_are_unsatisfiable() {
    // RFC 9110 section 15.5.17
    for range in [
        "bytes=10-",
        "bytes=10-20,30-",
        "bytes=-0",
        "bytes=99999999999999999999-",
    ] {
        assert_eq!(of_ten(range), Selection::Unsatisfiable(10), "{range}");
    }
}

#[test]
fn invalid_or_excessive_ranges_are_ignored() {
    // RFC 9110 section 14.2
    let many = format!("bytes={}", ["0-0"; 17].join(","));
    for range in [
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=a-b",
        "bytes=2-1",
        "bytes=-",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0-1,x",
        "bytes 0-1",
        "bytes=0-9,0-9",
        &many,
    ] {
        assert_eq!(of_ten(range), Selection::Whole, "{range}");
    }
    let whole = stored(Bytes::from_static(b"0123456789"), None);
    let twice = asking(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=0-1")]);
    assert_eq!(select(&twice, &whole), Selection::Whole);
    let nothing = stored(Bytes::new(), None);
    assert_eq!(
        select(&asking(&[(RANGE, "bytes=-1")]), &nothing),
        Selection::Whole
    );
    let mut missing = whole;
    missing.status = StatusCode::NOT_FOUND;
    assert_eq!(
        select(&asking(&[(RANGE, "bytes=0-1")]), &missing),
        Selection::Whole
    );
}

#[test]
fn a_range_needs_a_matching_if_range() {
    // RFC 9110 section 13.1.5
    let mut whole = stored(Bytes::from_static(b"0123456789"), None);
    let guarded = |validator: &str, stored: &StoredResponse| {
        select(
            &asking(&[(RANGE, "bytes=0-1"), (IF_RANGE, validator)]),
            stored,
        )
    };
    assert_eq!(guarded("\"a\"", &whole), spans(&[(0, 1)]));
    assert_eq!(guarded("\"b\"", &whole), Selection::Whole);
    assert_eq!(guarded("W/\"a\"", &whole), Selection::Whole);
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(guarded(modified, &whole), Selection::Whole);
    whole.headers.insert(
        LAST_MODIFIED,
        HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
    );
    whole.headers.insert(
        DATE,
        HeaderValue::from_static("Sun, 06 Nov 1994 08:49:38 GMT"),
    );
    assert_eq!(guarded(modified, &whole), spans(&[(0, 1)]));
}

#[test]
fn a_part_answers_ranges_within_it() {
    // RFC 9111 section 3.3
    let part = |complete| {
        stored(
            Bytes::from_static(b"45678"),
            Some(Part { first: 4, complete }),
        )
    };
    let asked = |range: &str, complete| select(&asking(&[(RANGE, range)]), &part(complete));
    assert_eq!(asked("bytes=-5", Some(9)), spans(&[(4, 8)]));
    assert_eq!(asked("bytes=6-8", Some(9)), spans(&[(6, 8)]));
    assert_eq!(asked("bytes=6-", Some(9)), spans(&[(6, 8)]));
    assert_eq!(asked("bytes=-1", Some(9)), spans(&[(8, 8)]));
    assert_eq!(asked("bytes=3-5", Some(9)), Selection::Missing);
    assert_eq!(asked("bytes=6-9", Some(10)), Selection::Missing);
    // RFC 9110 section 14.2: overlapping ranges that exceed the part
    assert_eq!(asked("bytes=4-6,6-8", Some(9)), Selection::Missing);
    assert_eq!(asked("bytes=4-6,7-8", Some(9)), spans(&[(4, 6), (7, 8)]));
    assert_eq!(asked("bytes=6-8", None), spans(&[(6, 8)]));
    assert_eq!(asked("bytes=6-9", None), Selection::Missing);
    assert_eq!(asked("bytes=6-", None), Selection::Missing);
    assert_eq!(asked("bytes=9-", Some(9)), Selection::Unsatisfiable(9));
    assert_eq!(asked("foo", Some(9)), Selection::Missing);
    assert_eq!(
        select(&HeaderMap::new(), &part(Some(9))),
        Selection::Missing
    );
}

proptest! {
    #[test]
    fn spans_are_within_the_body(
        range in "bytes=([0-9]{0,3}-[0-9]{0,3},?){1,4}", length in 0usize..300, first in 0u64..300, complete in proptest::option::of(0u64..600),
        is_part: bool,
    ) {
        let part = is_part.then_some(Part { first, complete });
        let stored = stored(Bytes::from(vec![0; length]), part);
        if let Selection::Spans(spans) = select(&asking(&[(RANGE, &range)]), &stored) {
            let first = part.map_or(0, |part| part.first);
            prop_assert!(!spans.is_empty());
            for span in spans {
                prop_assert!(first <= span.first && span.first <= span.last);
                prop_assert!(span.last < first + length as u64);
            }
        }
    }

    #[test]
    fn any_bytes_are_accepted(range: Vec<u8>) {
        if let Some(specs) = parse(&range) {
            satisfy(&specs, Some(10));
            satisfy(&specs, None);
            satisfy(&specs, Some(u64::MAX));
        }
    }
}
