//! Ranges served from stored responses, stored parts, and combined parts (RFC 9110 section 14,
//! RFC 9111 sections 3.3 and 3.4).

use http::request::Parts;
use tower_keep::Table;

use crate::common::{
    client::{advance, get, request, send},
    keeps::new_keep,
    origin::{FullResponse, Origin, cached, response},
};

const WHOLE: &str = "0123456789";

/// Ten bytes, with support for ranges and `If-None-Match`.
fn ten_bytes(tag: &'static str) -> Origin {
    Origin::new(move |parts, _| bytes(parts, tag))
}

fn bytes(parts: &Parts, tag: &'static str) -> FullResponse {
    let text = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    let fields = [("etag", tag), ("cache-control", "max-age=60")];
    if text("if-none-match") == Some(tag) {
        return response(304, &fields, "");
    }
    let range = text("range").filter(|_| text("if-range").is_none_or(|own| own == tag));
    let Some((first, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
    else {
        return response(200, &fields, WHOLE);
    };
    let first: usize = first.parse().expect("a first position");
    let last = last.parse().unwrap_or(9).min(9);
    let mut part = response(206, &fields, &WHOLE[first..=last]);
    let range = format!("bytes {first}-{last}/10").parse().expect("a value");
    part.headers_mut().insert("content-range", range);
    part
}

fn range(value: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    request("GET", "/a", &[("range", value)])
}

#[tokio::test]
async fn ranges_are_served_from_a_stored_complete_response() {
    let keep = new_keep(Table::new());
    let origin = ten_bytes("\"one\"");
    let service = cached(&keep, &origin);
    send(&service, get("/a")).await;
    for (asked, status, body, place) in [
        ("bytes=0-1", 206, "01", "bytes 0-1/10"),
        ("bytes=8-", 206, "89", "bytes 8-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=9-99", 206, "9", "bytes 9-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let part = send(&service, range(asked)).await;
        assert_eq!((part.status, part.body.as_str()), (status, body), "{asked}");
        assert_eq!(part.headers["content-range"], place);
    }
    // An invalid byte range is ignored (RFC 9110 section 14.2).
    assert_eq!(send(&service, range("lines=1-2")).await.status, 200);
    let several = send(&service, range("bytes=0-1,8-")).await;
    let kind = several.headers["content-type"].to_str().expect("text");
    assert!(
        kind.starts_with("multipart/byteranges; boundary="),
        "{kind}"
    );
    assert!(
        several
            .body
            .contains("Content-Range: bytes 8-9/10\r\n\r\n89\r\n--"),
        "{several:?}"
    );
    // RFC 9110 section 13.1.5.
    let other = [("range", "bytes=0-1"), ("if-range", "\"two\"")];
    assert_eq!(
        send(&service, request("GET", "/a", &other)).await.body,
        WHOLE
    );
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn stored_parts_serve_their_ranges_and_are_combined() {
    let keep = new_keep(Table::new());
    let origin = ten_bytes("\"one\"");
    let service = cached(&keep, &origin);
    assert_eq!(send(&service, range("bytes=2-5")).await.body, "2345");
    let within = send(&service, range("bytes=3-4")).await;
    assert_eq!((within.status, within.body.as_str()), (206, "34"));
    assert_eq!(within.headers["content-range"], "bytes 3-4/10");
    assert_eq!(origin.calls(), 1);
    assert_eq!(send(&service, range("bytes=0-3")).await.body, "0123");
    assert_eq!(send(&service, range("bytes=1-5")).await.body, "12345");
    assert_eq!(origin.calls(), 2);
    // Only the missing part is requested.
    let whole = send(&service, get("/a")).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, WHOLE));
    assert!(!whole.headers.contains_key("content-range"));
    assert_eq!(
        whole.cache_status(),
        "tower-keep; fwd=partial; fwd-status=206; stored"
    );
    assert_eq!(
        send(&service, get("/a")).await.headers["content-length"],
        "10"
    );
    assert_eq!(origin.calls(), 3);
}

#[tokio::test]
async fn parts_of_two_representations_are_never_combined() {
    let keep = new_keep(Table::new());
    let origin =
        Origin::new(|parts, call| bytes(parts, if call == 1 { "\"one\"" } else { "\"two\"" }));
    let service = cached(&keep, &origin);
    send(&service, range("bytes=0-4")).await;
    let whole = send(&service, get("/a")).await;
    assert_eq!((whole.status, whole.body.as_str()), (200, WHOLE));
    assert_eq!(whole.headers["etag"], "\"two\"");
    assert_eq!(origin.calls(), 2, "If-Range brought the whole at once");
}

#[tokio::test]
async fn a_refused_completion_is_followed_by_a_request_for_the_whole() {
    // RFC 9111 section 3.3: the layer added the range, so a refusal of it is not for the client.
    for refusal in [400, 403, 416] {
        let keep = new_keep(Table::new());
        let origin = Origin::new(move |parts, call| match parts.headers.get("range") {
            Some(_) if call > 1 => response(refusal, &[], "no"),
            _ => bytes(parts, "\"one\""),
        });
        let service = cached(&keep, &origin);
        send(&service, range("bytes=0-4")).await;
        let whole = send(&service, get("/a")).await;
        assert_eq!((whole.status, whole.body.as_str()), (200, WHOLE));
        assert_eq!(origin.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_part_is_validated() {
    let keep = new_keep(Table::new());
    let origin = ten_bytes("\"one\"");
    let service = cached(&keep, &origin);
    send(&service, range("bytes=2-5")).await;
    advance(100).await;
    let part = send(&service, range("bytes=3-4")).await;
    assert_eq!((part.status, part.body.as_str()), (206, "34"));
    assert_eq!(
        part.cache_status(),
        "tower-keep; fwd=partial; fwd-status=304; stored"
    );
    send(&service, range("bytes=3-4")).await;
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stale_part_that_has_changed_is_replaced() {
    let keep = new_keep(Table::new());
    let origin =
        Origin::new(|parts, call| bytes(parts, if call == 1 { "\"one\"" } else { "\"two\"" }));
    let service = cached(&keep, &origin);
    send(&service, range("bytes=2-5")).await;
    advance(100).await;
    let part = send(&service, range("bytes=3-4")).await;
    assert_eq!((part.status, part.body.as_str()), (206, "34"));
    assert_eq!(part.headers["etag"], "\"two\"");
    assert_eq!(
        send(&service, range("bytes=3-4")).await.headers["etag"],
        "\"two\""
    );
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn a_head_request_is_not_answered_from_a_stored_part() {
    let keep = new_keep(Table::new());
    let origin = ten_bytes("\"one\"");
    let service = cached(&keep, &origin);
    send(&service, range("bytes=2-5")).await;
    send(&service, request("HEAD", "/a", &[])).await;
    assert_eq!(origin.calls(), 2);
}
