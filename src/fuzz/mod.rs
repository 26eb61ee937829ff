//! Entry points for fuzzing: each takes arbitrary bytes and asserts invariants.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_LANGUAGE, AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, IF_NONE_MATCH, LAST_MODIFIED,
        LOCATION, RANGE, VARY,
    },
};

use crate::{
    clock::Timestamp,
    semantics::{
        byteranges,
        cache_control::{RequestCacheControl, ResponseDirectives},
        cache_groups::{self, CACHE_GROUPS},
        cache_report::CacheReport,
        cache_status::CACHE_STATUS,
        conditional, dates,
        freshness::{self, Exchange, Lifetime, Usability},
        invalidation,
        no_vary_search::{NO_VARY_SEARCH, SearchVariance},
        partial::{self, ContentRange, PartContent},
        range::{self, Selection},
        request_head::RequestHead,
        sharing::Credentials,
        storable::{self},
        storage_policy::StoragePolicy,
        stored_fields::FieldFilter,
        stored_response::{Part, StoredResponse, Variants},
        targeted::{CDN_CACHE_CONTROL, EffectiveDirectives},
        vary::{self, VaryFields},
    },
    store::wire::{self, KeyHash, ReadContext},
};

const NOW: Timestamp = Timestamp(1_780_000_000_000);

/// Fields with this name, one for each line of `data` that is a valid value.
fn lines(name: &HeaderName, data: &[u8]) -> HeaderMap {
    data.split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok())
        .map(|value| (name.clone(), value))
        .fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
}

fn request<'a>(method: &'a Method, headers: &'a HeaderMap) -> RequestHead<'a> {
    RequestHead {
        method,
        headers,
        credentials: Credentials::None,
        authority: Some("example.com"),
        target: "/a/b?c",
    }
}

/// An exchange that took a minute: a response received from it is at least that old.
fn exchange() -> Exchange {
    Exchange {
        requested: NOW,
        received: NOW.after(Duration::from_secs(60)),
    }
}

fn decide_for(request_headers: &HeaderMap, headers: &HeaderMap) -> Option<Lifetime> {
    let request = request(&Method::GET, request_headers);
    let policy = StoragePolicy::STANDARD;
    let lifetime =
        storable::decide(&request, StatusCode::OK, headers, &exchange(), &policy).ok()?;
    // RFC 9111 section 4.2.3, and the table's `max`.
    assert!(lifetime.initial_age >= Duration::from_secs(60));
    let left = lifetime.remaining(Duration::ZERO).unwrap_or_default();
    assert!(left <= StoragePolicy::STANDARD.max);
    Some(lifetime)
}

fn decide(headers: &HeaderMap) -> Option<Lifetime> {
    decide_for(&HeaderMap::new(), headers)
}

/// `Cache-Control` of requests and responses, and `Age`: no response with `no-store` or `private` is
/// stored, no age is less than the one received, and no response is fresh for a request that forbids
/// it.
pub fn cache_control(data: &[u8]) {
    let headers = lines(&CACHE_CONTROL, data);
    let request = RequestCacheControl::parse(&headers);
    let response = ResponseDirectives::parse(&headers);
    if let Some(lifetime) = decide(&headers) {
        assert!(!response.no_store || response.must_understand);
        assert!(!response.private.is_whole());
        let resident = Duration::from_secs(1);
        if let Usability::Fresh { ttl } = freshness::usable(&lifetime, resident, &request) {
            assert!(!lifetime.no_cache && !request.no_cache && !ttl.is_zero());
            assert!(request.min_fresh.is_none_or(|wanted| ttl >= wanted));
            assert!(
                request
                    .max_age
                    .is_none_or(|max| lifetime.age(resident) <= max)
            );
        }
    }
    if decide_for(&headers, &lines(&CACHE_CONTROL, b"max-age=600")).is_some() {
        assert!(!request.no_store);
    }
    let aged = lines(&AGE, data);
    // `1*DIGIT` has no sign, unlike what Rust parses.
    let digits = aged.get(AGE).and_then(|age| age.to_str().ok());
    let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let received = digits.and_then(|digits| digits.parse().ok());
    let age = exchange().initial_age(&aged);
    assert!(age >= Duration::from_secs(received.unwrap_or(0u64).min(1 << 31)));
}

/// Dates: a parsed date is formatted and parsed again as the same, and every date in the preferred
/// form is parsed as by `httpdate`.
pub fn dates(data: &[u8]) {
    let read = dates::parse(data, NOW);
    if let Some(time) = read {
        assert_eq!(
            dates::parse(dates::format(time).as_bytes(), NOW),
            Some(time)
        );
    }
    let text = std::str::from_utf8(data)
        .ok()
        .filter(|text| text.len() == 29 && text.trim() == *text);
    if let Some(known) = text.and_then(|text| httpdate::parse_http_date(text).ok()) {
        assert_eq!(read.map(Timestamp::system), Some(known));
    }
    for name in [EXPIRES, DATE, LAST_MODIFIED] {
        decide(&lines(&name, data));
    }
    let mut conditions = lines(&http::header::IF_MODIFIED_SINCE, data);
    conditions.extend(lines(&http::header::IF_RANGE, data));
    conditional::is_not_modified(&conditions, StatusCode::OK, &lines(&DATE, data), NOW);
}

/// `Range`, `Content-Range` and lists of entity tags: slices have the ranges that they state, and
/// parts combine to the representation they were cut from.
pub fn ranges(data: &[u8]) {
    let Some((&[length, first, end, other], data)) = data.split_first_chunk::<4>() else {
        return;
    };
    let whole: Bytes = (0..=u8::MAX).collect();
    let part = (first > 0).then_some(Part {
        first: u64::from(first),
        complete: (first % 2 == 0).then_some(u64::from(first) + u64::from(length)),
    });
    let stored = StoredResponse {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: whole.slice(..usize::from(length)),
        trailers: None,
        lifetime: Lifetime::default(),
        part,
        cost: Duration::ZERO,
    };
    if let Selection::Spans(spans) = range::select(&lines(&RANGE, data), &stored) {
        let selected: u64 = spans.iter().map(|span| span.length()).sum();
        let pieces = byteranges::partial_content(&spans, &stored, "B", &mut HeaderMap::new());
        let cut: usize = pieces.iter().map(Bytes::len).sum();
        assert!(selected <= u64::from(length) && selected <= cut as u64);
        if let [span] = spans.as_slice() {
            let from = usize::try_from(span.first).unwrap_or(usize::MAX) - usize::from(first);
            assert_eq!(pieces[0], stored.body[from..][..cut]);
        }
    }
    if let Some(range) = ContentRange::parse(data) {
        range.part(u64::from(length));
    }
    combine(&whole, [first, end, other, length]);
    let request = lines(&IF_NONE_MATCH, data);
    conditional::is_not_modified(&request, StatusCode::OK, &lines(&ETAG, data), NOW);
}

fn combine(whole: &Bytes, [a, b, c, d]: [u8; 4]) {
    let headers = lines(&ETAG, b"\"a\"");
    let cut = |from: u8, to: u8| PartContent {
        part: Part {
            first: u64::from(from.min(to)),
            complete: (from > to).then_some(256),
        },
        body: whole.slice(usize::from(from.min(to))..usize::from(from.max(to))),
    };
    if let Some(both) = partial::combine((&headers, &cut(a, b)), (&headers, &cut(c, d))) {
        let first = usize::try_from(both.part.first).unwrap_or(usize::MAX);
        assert_eq!(both.body, whole[first..][..both.body.len()]);
        assert_eq!(first, usize::from(a.min(b).min(c).min(d)));
    }
}

/// `CDN-Cache-Control`, `No-Vary-Search`, `Vary`, `Cache-Groups`, `Cache-Status`, weighted lists, and
/// URI references in `Location`.
pub fn structured_fields(data: &[u8]) {
    let targeted = lines(&CDN_CACHE_CONTROL, data);
    if decide(&targeted).is_some() {
        let directives = EffectiveDirectives::of(&targeted).directives;
        assert!(!directives.no_store || directives.must_understand);
        assert!(!directives.private.is_whole());
        let stored = FieldFilter::of(&targeted, &[]).select(&targeted, NOW);
        assert!(
            directives
                .private
                .fields()
                .iter()
                .all(|name| !stored.contains_key(name))
        );
    }
    if let Some(rule) = SearchVariance::of(&lines(&NO_VARY_SEARCH, data)) {
        let query = String::from_utf8_lossy(data);
        let normal = rule.normalize(Some(&query));
        assert_eq!(rule.normalize(Some(&normal)), normal);
    }
    let request = lines(&ACCEPT_LANGUAGE, data);
    let mut response = lines(&VARY, data);
    response.append(VARY, HeaderValue::from_static("accept-language"));
    if let Ok(fields) = VaryFields::of(&response, &[]) {
        let variants = Variants::of([fields.variant(&request, &response)]);
        assert!(vary::choose(&variants, &request).is_some());
    }
    cache_groups::members(&lines(&CACHE_GROUPS, data), &CACHE_GROUPS);
    CacheReport::of(&lines(&CACHE_STATUS, data));
    references(data);
}

/// Every target that a write invalidates is a path of this origin without dot segments.
fn references(data: &[u8]) {
    let post = Method::POST;
    let none = HeaderMap::new();
    let write = request(&post, &none);
    for target in invalidation::targets(&write, StatusCode::OK, &lines(&LOCATION, data)) {
        let path = target.split('?').next().unwrap_or_default();
        assert!(path.starts_with('/'), "{target}");
        assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")));
    }
}

/// Stored bytes behind a valid magic and checksum: they decode to an entry or to an error, and an entry
/// is encoded and decoded again as the same.
pub fn wire(data: &[u8]) {
    let key = KeyHash::of("", "a key");
    let context = ReadContext {
        key,
        now: NOW,
        max_ttl: Duration::from_secs(1 << 30),
        max_body: 1 << 20,
    };
    let data = key.bind(data);
    let stored = [
        &wire::MAGIC[..],
        &crc32fast::hash(&data).to_be_bytes(),
        &data,
    ];
    let Ok(entry) = wire::decode(&stored.concat().into(), &context) else {
        return;
    };
    assert!(entry.expires <= entry.stored.after(context.max_ttl));
    let again = wire::encode(&entry, key).expect("no longer than the input");
    let read = wire::decode(&again.into(), &context).expect("an encoded entry");
    assert_eq!(format!("{read:?}"), format!("{entry:?}"));
}
