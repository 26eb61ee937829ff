//! What grows, and what lasts, only so far.

use http::Response;
use http_body_util::Full;
use tower_keep::{Keep, Table};

use super::kit::{Origin, after, cached, get, request, send};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Parts grew together without end: `max_body` bounds what is stored, however it came.
#[tokio::test]
async fn parts_do_not_grow_beyond_what_may_be_stored() {
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
    let service = cached(&Keep::new(Table::new()).expect("a valid table"), &origin);
    let range = |first: usize, length: usize| {
        let range = format!("bytes={first}-{}", first + length - 1);
        request("GET", "/a", &[("range", &range)])
    };
    send(&service, range(0, PART)).await;
    assert_eq!(send(&service, range(0, 9)).await.body.len(), 9);
    assert_eq!(origin.calls(), 1);
    send(&service, range(PART, PART)).await;
    // The newer part is there, and alone.
    send(&service, range(2 * PART - 9, 9)).await;
    assert_eq!(origin.calls(), 2);
    send(&service, range(0, 9)).await;
    assert_eq!(origin.calls(), 3);
}

/// RFC 9111 section 4.3.5 lets a HEAD's answer without a validator prolong what is stored; asked
/// often enough, it did so for ever, whatever had become of the content.
#[tokio::test(start_paused = true)]
async fn heads_without_validators_do_not_prolong_for_ever() {
    let origin = Origin::with(&[FRESH]);
    let service = cached(&Keep::new(Table::new()).expect("a valid table"), &origin);
    assert_eq!(send(&service, get("/a")).await.body, "call 1");
    let anew = [("cache-control", "no-cache")];
    let mut heads = 0;
    for _ in 0..200 {
        after(50).await;
        send(&service, request("HEAD", "/a", &anew)).await;
        heads += usize::from(send(&service, get("/a")).await.body == "call 1");
    }
    assert!((1..100).contains(&heads), "{heads}");
}
