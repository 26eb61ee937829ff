//! Paths that a server may read as the path of another resource.

use http::Request;
use tower::{Layer, ServiceExt};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Route, Scope, Table,
    table::{Unlisted, mins},
};

use crate::common::{
    client::{get, request, send},
    keeps::new_keep,
    origin::{Origin, cached, response},
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// A public route of files, one of records, and unlisted paths.
fn table() -> Table {
    let public = |path, key| Route::new(path).key(key).scope(Scope::Public);
    Table::new()
        .route(public("/static/{*path}", "static:{path}"))
        .route(public("/engagements/{id}", "engagement:{id}"))
}

fn keep() -> Keep {
    new_keep(table())
}

/// Reads the path as nginx does: decoded, without empty and dot segments.
fn account_or_file() -> Origin {
    Origin::new(|parts, _| {
        let decoded = parts.uri.path().to_ascii_lowercase();
        let decoded = decoded.replace("%2e", ".").replace("%2f", "/");
        let decoded = decoded.replace("%5c", "\\").replace('\\', "/");
        let is_account = decoded.contains("../");
        let user = parts.headers.contains_key("cookie");
        response(
            200,
            &[FRESH],
            match (is_account, user) {
                (true, true) => "the account of alice",
                (true, false) => "please log in",
                (false, _) => "a file",
            },
        )
    })
}

/// Regression: an anonymous request was answered with the account page of the user who had opened this
/// path before.
#[tokio::test]
async fn an_ambiguous_path_is_never_answered_with_the_page_of_another_user() {
    for path in [
        "/static/..%2faccount%2fme",
        "/static/..%2Faccount",
        "/static/../account",
        "/static/%2e%2e/account",
        "/static/.%2E/account",
        "/static/..%5caccount",
        "/static/..\\account",
        "/engagements/..%2faccount",
    ] {
        let service = cached(&keep(), &account_or_file());
        let alice = request("GET", path, &[("cookie", "session=alice")]);
        assert_eq!(send(&service, alice).await.body, "the account of alice");
        let stranger = send(&service, get(path)).await;
        assert_eq!(stranger.body, "please log in", "{path}");
    }
}

#[tokio::test]
async fn an_ambiguous_path_is_neither_answered_from_the_store_nor_stored() {
    for path in [
        "/static/./a",
        "/static/.",
        "/static/..",
        "/static/a/..",
        "/static/..;x/a",
        "/static//a",
        "//static/a",
        "/static/a//",
        "/static/a%2fb",
        "/static/a%5Cb",
        "/static/a\\b",
        "/static/a%2eb",
        "/static/a%00",
        "/static/a%",
        "/static/a%4",
        "/static/a%zz",
        "/static/%252e%252e/a",
        "/static/a%25252fb",
        "/engagements/a%2fb",
        "/other/../a",
        "/other//a",
        "//",
        "/%73tatic/a",
        "/engagement%73/1",
    ] {
        let origin = Origin::with_fields(&[FRESH]);
        let service = cached(&keep(), &origin);
        for method in ["GET", "GET", "HEAD"] {
            let seen = send(&service, request(method, path, &[])).await;
            let status = seen.cache_status();
            assert_eq!(status, "tower-keep; fwd=bypass; detail=path", "{path}");
        }
        assert_eq!(origin.calls(), 3, "{path}");
    }
}

/// Regression: some servers serve `/account;x` as `/account`, so the page of a user was stored for all.
#[tokio::test]
async fn a_path_whose_parameters_hide_another_route_bypasses() {
    let table = Table::new()
        .route(Route::new("/account").key("account").scope(Scope::User))
        .route(
            Route::new("/{*path}")
                .key("page:{path}")
                .scope(Scope::Public),
        );
    for (path, bypasses) in [
        ("/account;x", true),
        ("/account;x=1;y", true),
        ("/account%3Bx", true),
        ("/account%3bx", true),
        ("/;/account", true),
        ("/;x/account;y", true),
        ("/files/a;b", false),
        ("/files;x/a%3Bb", false),
        ("/accounts;x", false),
    ] {
        let service = cached(&new_keep(table.clone()), &Origin::with_fields(&[FRESH]));
        send(&service, get(path)).await;
        let seen = send(&service, get(path)).await;
        let status = seen.cache_status();
        assert_eq!(status.contains("detail=path"), bypasses, "{path} {status}");
        assert_eq!(status.contains("; hit"), !bypasses, "{path} {status}");
    }
}

#[tokio::test]
async fn other_unusual_paths_are_stored() {
    for path in [
        "/",
        "/static/a/",
        "/static/a..b",
        "/static/...",
        "/static/.hidden",
        "/.well-known/a",
        "/static/a%20b",
        "/static/%C3%A4",
        "/static/100%25",
        "/static/%25zz",
        "/static/a;x=1",
        "/engagements/a:b",
    ] {
        let service = cached(&keep(), &Origin::with_fields(&[FRESH]));
        send(&service, get(path)).await;
        let seen = send(&service, get(path)).await;
        assert!(seen.cache_status().contains("hit"), "{path} {seen:?}");
    }
}

/// Content that is part of a key does not make a path unambiguous.
#[tokio::test]
async fn a_query_or_a_read_with_content_to_an_ambiguous_path_bypasses() {
    let search = Route::new("/search/{*rest}")
        .key("search:{rest}:{#body}")
        .scope(Scope::Public)
        .safe_methods(["POST"]);
    let keep = new_keep(Table::new().route(search));
    let service = cached(&keep, &Origin::with_fields(&[FRESH]));
    for (method, path) in [
        ("QUERY", "/a/../b"),
        ("QUERY", "/search//b"),
        ("GET", "/search//b"),
    ] {
        for _ in 0..2 {
            let seen = send(&service, request(method, path, &[])).await;
            assert!(seen.cache_status().contains("detail=path"), "{seen:?}");
        }
    }
}

/// `safe_methods` applies to the route of the path as received, but the server may read another path.
#[tokio::test]
async fn a_post_that_is_safe_by_one_reading_alone_is_a_write() {
    let table = table().route(
        Route::new("/search/{*rest}")
            .key("search:{rest}:{#body}")
            .scope(Scope::Public)
            .safe_methods(["POST"]),
    );
    for above in [false, true] {
        let keep = new_keep(table.clone());
        let cache = CacheLayer::new(&keep).layer(Origin::with_fields(&[FRESH]));
        send(&cache, get("/engagements/1")).await;
        let write = request("POST", "/search/../engagements/1", &[]);
        if above {
            send(&InvalidateLayer::new(&keep).layer(cache.clone()), write).await;
        } else {
            send(&cache, write).await;
        }
        let seen = send(&cache, get("/engagements/1")).await;
        assert!(!seen.cache_status().contains("hit"), "{above} {seen:?}");
    }
}

#[tokio::test]
async fn unlisted_pass_leaves_ambiguous_paths_untouched() {
    let keep = new_keep(table().unlisted(Unlisted::Pass));
    let service = cached(&keep, &Origin::with_fields(&[FRESH]));
    let seen = send(&service, get("/other//a")).await;
    assert!(!seen.headers.contains_key("cache-status"), "{seen:?}");
}

/// axum matches paths as received, so it has another route for `/%69tems/1` than for `/items/1`; the
/// key of both was the same.
#[tokio::test]
async fn an_escaped_letter_does_not_store_the_response_of_another_route_of_the_router() {
    let app = axum::Router::new()
        .route("/items/{id}", axum::routing::get(async || "the item"))
        .fallback(async || "the index")
        .layer(CacheLayer::new(&Keep::default()).ttl(mins(5)));
    let ask = async |path: &str| {
        let request = Request::get(path).body(axum::body::Body::empty());
        let request = request.expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        let body = axum::body::to_bytes(response.into_body(), 100).await;
        body.expect("a body")
    };
    assert_eq!(ask("/%69tems/1").await, "the index");
    assert_eq!(ask("/items/1").await, "the item");
    assert_eq!(ask("/%69tems/1").await, "the index");
}
