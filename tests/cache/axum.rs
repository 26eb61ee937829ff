//! In axum: nested routers, layers of routers and methods, compression inside and outside.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Body, extract::Path, routing::get};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer, Route, Scope, Table};

use crate::common::keeps::new_keep;

async fn ask(
    app: &Router,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = app.clone().oneshot(request).await.expect("a response");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status, head.headers, body.to_vec())
}

async fn text(app: &Router, path: &str) -> String {
    let (_, _, body) = ask(app, "GET", path, &[]).await;
    String::from_utf8(body).expect("text")
}

fn table() -> Table {
    let route = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    Table::new()
        .route(route("/one/items/{id}", "one:{id}"))
        .route(route("/two/items/{id}", "two:{id}"))
        .route(route("/items/{id}", "item:{id}"))
}

/// A router whose responses have its name, the item and the number of the call.
fn items(name: &'static str) -> Router {
    let calls = Arc::new(AtomicUsize::new(0));
    let read = move |Path(id): Path<String>| async move {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        format!("{name} {id} {call}")
    };
    Router::new().route("/items/{id}", get(read).put(async || "written"))
}

/// `nest` removes the prefix before the layers of the nested router see the path.
#[cfg(feature = "axum")]
#[tokio::test]
async fn nested_routers_with_equal_paths_share_no_key() {
    for unlisted in [false, true] {
        let table = if unlisted { Table::new() } else { table() };
        let keep = new_keep(table);
        let nested = |name| {
            let fresh = tower_http::set_header::SetResponseHeaderLayer::overriding(
                http::header::CACHE_CONTROL,
                http::HeaderValue::from_static("max-age=60"),
            );
            items(name).layer(fresh).layer(CacheLayer::new(&keep))
        };
        let app = Router::new()
            .nest("/one", nested("one"))
            .nest("/two", nested("two"));
        for _ in 0..2 {
            assert_eq!(text(&app, "/one/items/7").await, "one 7 1");
            assert_eq!(text(&app, "/two/items/7").await, "two 7 1");
        }
        // A write to one does not invalidate the other.
        ask(&app, "PUT", "/one/items/7", &[]).await;
        assert_eq!(text(&app, "/one/items/7").await, "one 7 2");
        assert_eq!(text(&app, "/two/items/7").await, "two 7 1");
    }
}

#[tokio::test]
async fn a_router_takes_all_layers_as_a_tuple() {
    let keep = new_keep(table());
    let app = items("item").layer((
        RateLimitLayer::new(&keep),
        InvalidateLayer::new(&keep),
        CacheLayer::new(&keep),
    ));
    for _ in 0..2 {
        assert_eq!(text(&app, "/items/7").await, "item 7 1");
    }
    assert_eq!(ask(&app, "PUT", "/items/7", &[]).await.0, 200);
    assert_eq!(text(&app, "/items/7").await, "item 7 2");
    assert_eq!(ask(&app, "GET", "/nothing", &[]).await.0, 404);
}

#[tokio::test]
async fn a_method_router_takes_the_layer() {
    let keep = new_keep(table());
    let calls = Arc::new(AtomicUsize::new(0));
    let read = move || async move { format!("{}", calls.fetch_add(1, Ordering::SeqCst) + 1) };
    let app = Router::new()
        .route(
            "/items/{id}",
            get(read.clone()).layer(CacheLayer::new(&keep)),
        )
        .route("/bare/{id}", get(read));
    for _ in 0..2 {
        assert_eq!(text(&app, "/items/7").await, "1");
    }
    assert_eq!(text(&app, "/bare/7").await, "2");
    assert_eq!(ask(&app, "DELETE", "/items/7", &[]).await.0, 405);
}

#[tokio::test]
async fn compression_works_inside_and_outside() {
    let long = || {
        let calls = Arc::new(AtomicUsize::new(0));
        let read = move || async move {
            let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
            format!("{call} {}", "all work and no play ".repeat(100))
        };
        Router::new().route("/items/{id}", get(read))
    };
    let gzip = [("accept-encoding", "gzip")];
    let cases = [
        (
            long().layer((CompressionLayer::new(), CacheLayer::new(&new_keep(table())))),
            "1 ",
        ),
        // If compression is inside, both encodings are stored, each from one call.
        (
            long().layer((CacheLayer::new(&new_keep(table())), CompressionLayer::new())),
            "2 ",
        ),
    ];
    for (app, plain) in cases {
        for _ in 0..2 {
            let (status, headers, body) = ask(&app, "GET", "/items/7", &gzip).await;
            assert_eq!(status, 200);
            assert_eq!(headers["content-encoding"], "gzip");
            assert_eq!(body[..2], [0x1f, 0x8b]);
        }
        for _ in 0..2 {
            let (_, headers, body) = ask(&app, "GET", "/items/7", &[]).await;
            assert!(!headers.contains_key("content-encoding"));
            assert!(body.starts_with(plain.as_bytes()), "{body:?}");
            assert_eq!(body.len(), 2 + 2100);
        }
    }
}
