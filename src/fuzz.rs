//! Entry points for fuzzing: arbitrary bytes in, invariants asserted.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ACCEPT_LANGUAGE, CACHE_CONTROL, EXPIRES, IF_NONE_MATCH, RANGE, VARY},
};

use crate::{
    clock::Timestamp,
    entry::{Part, StoredResponse, Variants},
    semantics::{
        byteranges,
        cache_control::{RequestDirectives, ResponseDirectives},
        conditional, dates,
        freshness::{self, Exchange, Lifetime},
        no_vary_search::{NO_VARY_SEARCH, Rule},
        partial::ContentRange,
        policy::Policy,
        range::{self, Selection},
        sharing::Credentials,
        storable::{self, RequestHead},
        targeted::CDN_CACHE_CONTROL,
        vary::{self, VaryFields},
    },
};

const NOW: Timestamp = Timestamp(1_780_000_000_000);

/// A field value of one line for each line of `data`.
fn lines(name: &HeaderName, data: &[u8]) -> HeaderMap {
    data.split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .map(|value| (name.clone(), value))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn decide(headers: &HeaderMap) -> Option<Lifetime> {
    let request = RequestHead {
        method: &Method::GET,
        headers: &HeaderMap::new(),
        credentials: Credentials::None,
        authority: None,
        target: "/",
    };
    let exchange = Exchange {
        requested: NOW,
        received: NOW,
    };
    let policy = Policy::STANDARD;
    storable::decide(&request, StatusCode::OK, headers, &exchange, &policy).ok()
}

/// `Cache-Control`: nothing that says `no-store` or `private` is stored, nothing outlives `max`.
pub fn cache_control(data: &[u8]) {
    let headers = lines(&CACHE_CONTROL, data);
    let request = RequestDirectives::parse(&headers);
    let response = ResponseDirectives::parse(&headers);
    if let Some(lifetime) = decide(&headers) {
        assert!(!response.no_store || response.must_understand);
        assert!(!response.private.is_whole());
        assert!(lifetime.remaining(Duration::ZERO).unwrap_or_default() <= Policy::STANDARD.max);
        freshness::usable(&lifetime, Duration::from_secs(1), &request);
    }
}

/// Dates: what is read is written and read again as the same.
pub fn dates(data: &[u8]) {
    if let Some(time) = dates::parse(data, NOW) {
        assert_eq!(
            dates::parse(dates::format(time).as_bytes(), NOW),
            Some(time)
        );
    }
    decide(&lines(&EXPIRES, data));
}

/// `Range` and `Content-Range`: slices are within the body; and lists of entity tags.
pub fn ranges(data: &[u8]) {
    let Some((&[length, first], data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let part = (first > 0).then_some(Part {
        first: u64::from(first),
        complete: (first % 2 == 0).then_some(u64::from(first) + u64::from(length)),
    });
    let stored = StoredResponse {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from(vec![b'x'; usize::from(length)]),
        trailers: None,
        lifetime: Lifetime::default(),
        part,
        cost: Duration::ZERO,
    };
    if let Selection::Spans(spans) = range::select(&lines(&RANGE, data), &stored) {
        let asked: u64 = spans.iter().map(|span| span.length()).sum();
        let pieces = byteranges::partial_content(&spans, &stored, "B", &mut HeaderMap::new());
        let cut: usize = pieces.iter().map(Bytes::len).sum();
        assert!(asked <= u64::from(length) && asked <= cut as u64);
    }
    if let Some(range) = ContentRange::parse(data) {
        range.part(u64::from(length));
    }
    let request = lines(&IF_NONE_MATCH, data);
    conditional::evaluate(&request, StatusCode::OK, &stored.headers, NOW);
}

/// `CDN-Cache-Control`, `No-Vary-Search`, `Vary` and weighted lists.
pub fn structured_fields(data: &[u8]) {
    decide(&lines(&CDN_CACHE_CONTROL, data));
    if let Some(rule) = Rule::of(&lines(&NO_VARY_SEARCH, data)) {
        let query = String::from_utf8_lossy(data);
        let normal = rule.normalize(Some(&query));
        assert_eq!(rule.normalize(Some(&normal)), normal);
    }
    let request = lines(&ACCEPT_LANGUAGE, data);
    let mut response = lines(&VARY, data);
    response.append(VARY, HeaderValue::from_static("accept-language"));
    if let Ok(fields) = VaryFields::of(&response, &[]) {
        let variants = Variants(vec![fields.variant(&request, &response)]);
        assert!(vary::choose(&variants, &request).is_some());
    }
}
