//! Bounds of stored parts and of freshness.

use http::Response;
use http_body_util::Full;
use tower_keep::Table;

use crate::common::{
    client::{advance, get, request, send},
    keeps::new_keep,
    origin::{Origin, cached},
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Regression: combined parts grew without limit; `max_body` bounds every stored body.
#[tokio::test]
async fn combined_parts_do_not_exceed_the_maximum_body_size() {
    const PART: usize = 600 << 10;
    let origin = Origin::new(|parts, _| {
        let range = parts.headers["range"].to_str().expect("text");
        let (first, last) = range["bytes=".len()..].split_once('-').expect("a range");
        let (first, last): (usize, usize) = (
            first.parse().expect("a number"),
            last.parse().expect("a number"),
        );
        let mut response = Response::builder().status(206);
        for (name, value) in [("etag", "\"1\""), FRESH] {
            response = response.header(name, value);
        }
        let range = format!("bytes {first}-{last}/{}", 100 * PART);
        let response = response.header("content-range", range);
        response
            .body(Full::from(vec![b'x'; last + 1 - first]))
            .expect("a response")
    });
    let service = cached(&new_keep(Table::new()), &origin);
    let range = |first: usize, length: usize| {
        let range = format!("bytes={first}-{}", first + length - 1);
        request("GET", "/a", &[("range", &range)])
    };
    send(&service, range(0, PART)).await;
    assert_eq!(send(&service, range(0, 9)).await.body.len(), 9);
    assert_eq!(origin.calls(), 1);
    send(&service, range(PART, PART)).await;
    // Only the newer part is stored.
    send(&service, range(2 * PART - 9, 9)).await;
    assert_eq!(origin.calls(), 2);
    send(&service, range(0, 9)).await;
    assert_eq!(origin.calls(), 3);
}

/// Regression: by RFC 9111 section 4.3.5 a HEAD response without a validator may prolong a stored
/// response; repeated HEAD requests did so without end, although the content had changed.
#[tokio::test(start_paused = true)]
async fn head_responses_without_validators_do_not_prolong_freshness_without_limit() {
    let origin = Origin::with_fields(&[FRESH]);
    let service = cached(&new_keep(Table::new()), &origin);
    assert_eq!(send(&service, get("/a")).await.body, "call 1");
    let anew = [("cache-control", "no-cache")];
    let mut heads = 0;
    for _ in 0..200 {
        advance(50).await;
        send(&service, request("HEAD", "/a", &anew)).await;
        heads += usize::from(send(&service, get("/a")).await.body == "call 1");
    }
    assert!((1..100).contains(&heads), "{heads}");
}
