//! Conditional requests on paths that no route names, while nothing is stored.

use http::Request;
use http_body_util::Full;
use tower_keep::Table;

use crate::common::{
    client::{advance, get, request, send},
    keeps::new_keep,
    origin::{Origin, cached, response},
};

const ETAG: (&str, &str) = ("etag", "\"one\"");
const LASTING: (&str, &str) = ("cache-control", "max-age=60");

/// Answers conditional requests with a 304, and counts as any origin.
fn validating(fields: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::new(move |parts, _| match parts.headers.get("if-none-match") {
        Some(tag) if tag == "\"one\"" => response(304, fields, ""),
        _ => response(200, fields, "body"),
    })
}

fn knowing(fields: &[(&str, &str)]) -> Request<Full<bytes::Bytes>> {
    let fields = [&[("if-none-match", "\"one\"")], fields].concat();
    request("GET", "/a", &fields)
}

/// Regression: as long as all clients knew the response already, each request was forwarded.
#[tokio::test]
async fn a_conditional_request_fills_the_cache() {
    let origin = validating(&[ETAG, LASTING]);
    let service = cached(&new_keep(Table::new()), &origin);
    let first = send(&service, knowing(&[])).await;
    assert_eq!((first.status, first.body.as_str()), (304, ""));
    assert_eq!(first.headers["etag"], "\"one\"");
    assert_eq!(first.cache_status(), "tower-keep; fwd=uri-miss; stored");
    assert_eq!(send(&service, knowing(&[])).await.status, 304);
    assert_eq!(send(&service, get("/a")).await.body, "body");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn a_client_that_knows_another_version_gets_the_whole_and_fills_the_cache() {
    let origin = validating(&[ETAG, LASTING]);
    let service = cached(&new_keep(Table::new()), &origin);
    let other = request("GET", "/a", &[("if-none-match", "\"two\"")]);
    let first = send(&service, other).await;
    assert_eq!((first.status, first.body.as_str()), (200, "body"));
    assert_eq!(send(&service, get("/a")).await.body, "body");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_condition_is_forwarded_while_the_response_is_known_not_to_be_stored() {
    let origin = validating(&[ETAG, ("cache-control", "no-store")]);
    let service = cached(&new_keep(Table::new()), &origin);
    assert_eq!(send(&service, knowing(&[])).await.status, 304);
    let second = send(&service, knowing(&[])).await;
    assert_eq!(
        second.cache_status(),
        "tower-keep; fwd=uri-miss; detail=status"
    );
    assert_eq!(second.status, 304);
}

#[tokio::test]
async fn the_condition_is_forwarded_if_the_response_may_not_be_stored_for_others() {
    for fields in [
        &[("cookie", "id=1")][..],
        &[("authorization", "Basic YTpi")],
        &[("cache-control", "no-store")],
        &[("if-match", "\"one\"")],
        &[("if-unmodified-since", "Thu, 18 Aug 2050 02:01:18 GMT")],
        &[("range", "bytes=0-1")],
    ] {
        let origin = Origin::new(|parts, _| {
            assert!(parts.headers.contains_key("if-none-match"));
            response(304, &[ETAG, LASTING], "")
        });
        let service = cached(&new_keep(Table::new()), &origin);
        let response = send(&service, knowing(fields)).await;
        assert_eq!(response.status, 304, "{fields:?}");
    }
}

/// Regression: the condition was removed because of the stale response, which has no validator, and
/// then evaluated nowhere.
#[tokio::test(start_paused = true)]
async fn a_condition_is_evaluated_if_the_stale_response_cannot_be_validated() {
    let origin = Origin::script(vec![
        Ok(response(200, &[("cache-control", "max-age=1")], "old")),
        Ok(response(200, &[ETAG, LASTING], "new")),
    ]);
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    advance(5).await;
    let second = send(&service, knowing(&[])).await;
    assert_eq!((second.status, second.body.as_str()), (304, ""));
    assert_eq!(send(&service, get("/a")).await.body, "new");
    assert_eq!(origin.calls(), 2);
}
