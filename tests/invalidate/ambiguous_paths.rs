//! Writes to paths that a server may read as the path of another resource.

use tower::Layer;
use tower_keep::{CacheLayer, Route, Scope, Table, table::Unlisted};

use super::stack::{hits, stack};
use crate::common::{
    client::{get, request, send},
    keeps::new_keep,
    origin::{Origin, response},
};

fn public(path: &str, key: &str) -> Route {
    Route::new(path).key(key).scope(Scope::Public)
}

fn table() -> Table {
    Table::new()
        .route(public("/engagements", "engagements"))
        .route(public("/static/{*path}", "static:{path}"))
        .route(public("/engagements/{id}", "engagement:{id}").invalidates("engagements"))
}

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Ways to write `/engagements/1` that some servers understand.
const WRITINGS: [&str; 19] = [
    "/engagements//1",
    "//engagements/1",
    "/engagements/./1",
    "/x/../engagements/1",
    "/x//../../engagements/1",
    "/x/%2e%2e/engagements/1",
    "/static/..%2fengagements%2f1",
    "/static/..%2Fengagements/1",
    "/static/..%5cengagements\\1",
    "/%65ngagements/1",
    "/engagements/%31",
    "/engagements%2f1",
    "/engagements/1%00.txt",
    "/static/%252e%252e/engagements/1",
    "/static/..;a=b/engagements/1",
    "/x//../engagements/1",
    "/engagements/1;x",
    "/engagements;x/1%3By",
    "/;/engagements/1",
];

#[tokio::test]
async fn a_write_to_an_ambiguous_path_invalidates_every_reading_of_it() {
    let changed = ["/engagements/1", "/engagements"];
    let others = ["/engagements/2", "/static/a"];
    for write in WRITINGS {
        let keep = new_keep(table());
        let service = stack(&keep, &Origin::with_fields(FRESH));
        for path in changed.into_iter().chain(others) {
            send(&service, get(path)).await;
        }
        send(&service, request("PUT", write, &[])).await;
        assert_eq!(hits(&service, &changed).await, [false; 2], "{write}");
        assert_eq!(hits(&service, &others).await, [true; 2], "{write}");
    }
}

#[tokio::test]
async fn a_write_to_an_ambiguous_path_invalidates_unlisted_readings() {
    for unlisted_write in [
        "/notes//1",
        "/x/../notes/1",
        "/notes%2f1",
        "/static/..%2fnotes/1",
    ] {
        let keep = new_keep(table());
        let service = stack(&keep, &Origin::with_fields(FRESH));
        let paths = ["/notes/1", "/notes/2"];
        for path in paths {
            send(&service, get(path)).await;
        }
        send(&service, request("DELETE", unlisted_write, &[])).await;
        let seen = hits(&service, &paths).await;
        assert_eq!(seen, [false, true], "{unlisted_write}");
    }
}

/// Regression: only the spelling of the write was invalidated.
#[tokio::test]
async fn a_write_to_an_unlisted_path_invalidates_every_spelling_of_it() {
    let without_key = || Table::new().route(Route::new("/u/{id}").scope(Scope::Public));
    for (one, other) in [
        ("/u/a:b", "/u/a%3Ab"),
        ("/u/@a", "/u/%40a"),
        ("/u/a,b", "/u/a%2Cb"),
        ("/u/é", "/u/%C3%A9"),
    ] {
        for (table, stored, written) in [
            (table(), one, other),
            (table(), other, one),
            (without_key(), one, other),
            (without_key(), other, one),
        ] {
            let keep = new_keep(table);
            let service = stack(&keep, &Origin::with_fields(FRESH));
            send(&service, get(stored)).await;
            // The spellings share no response.
            assert_eq!(hits(&service, &[stored, written]).await, [true, false]);
            send(&service, request("PUT", written, &[])).await;
            assert_eq!(hits(&service, &[stored]).await, [false], "{stored}");
        }
    }
}

/// RFC 9111 section 4.4, where no `InvalidateLayer` is above the cache.
#[tokio::test]
async fn the_cache_alone_invalidates_every_reading_of_the_target() {
    for write in WRITINGS {
        let keep = new_keep(table());
        let service = CacheLayer::new(&keep).layer(Origin::with_fields(FRESH));
        let paths = ["/engagements/1", "/engagements/2"];
        for path in paths {
            send(&service, get(path)).await;
        }
        send(&service, request("PUT", write, &[])).await;
        for (path, is_hit) in paths.into_iter().zip([false, true]) {
            let seen = send(&service, get(path)).await;
            assert_eq!(
                seen.cache_status().contains("; hit"),
                is_hit,
                "{write} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_location_with_an_ambiguous_path_invalidates_every_reading_of_it() {
    for location in [
        "/engagements//1",
        "/x/..%2fengagements/1",
        "/%65ngagements/1",
    ] {
        let origin = Origin::new(move |parts, _| match parts.method.as_str() {
            "POST" => response(201, &[("location", location)], ""),
            _ => response(200, FRESH, "engagement"),
        });
        let keep = new_keep(table());
        let service = stack(&keep, &origin);
        send(&service, get("/engagements/1")).await;
        send(&service, request("POST", "/forms", &[])).await;
        let seen = hits(&service, &["/engagements/1"]).await;
        assert_eq!(seen, [false], "{location}");
    }
}

/// With `unlisted = "pass"` the layers ignore unlisted paths, but not what a listed reading names.
#[tokio::test]
async fn unlisted_pass_does_not_hide_the_listed_reading_of_a_write() {
    for write in ["/x/../engagements/1", "//engagements/1"] {
        let keep = new_keep(table().unlisted(Unlisted::Pass));
        let service = stack(&keep, &Origin::with_fields(FRESH));
        send(&service, get("/engagements/1")).await;
        send(&service, request("PUT", write, &[])).await;
        assert_eq!(
            hits(&service, &["/engagements/1"]).await,
            [false],
            "{write}"
        );
    }
}
