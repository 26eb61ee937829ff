//! Refreshes and validations whose response may not be stored.

use std::{future::ready, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower_keep::Table;

use crate::common::{
    client::{advance, get, request, run_other_tasks, send},
    keeps::{engagements_with, new_keep},
    origin::{FullResponse, Origin, OriginBody, OriginError, OriginResult, cached, full, response},
};

const SWR: (&str, &str) = ("cache-control", "max-age=1, stale-while-revalidate=86400");
const ETAG: (&str, &str) = ("etag", "\"one\"");
const LASTING: (&str, &str) = ("cache-control", "max-age=60");

/// The first response is `first`, all later ones are `then`.
fn first_then(
    first: FullResponse,
    then: impl Fn() -> OriginResult + Send + Sync + 'static,
) -> Origin {
    Origin::from_fn(move |_, call| {
        ready(match call {
            1 => Ok(first.clone().map(full)),
            _ => then(),
        })
    })
}

/// A body without a known length that is longer than the longest that is stored.
fn endless_chunks() -> OriginBody {
    let chunk = || Ok(Frame::data(Bytes::from(vec![b'x'; 700_000])));
    StreamBody::new(stream::iter([chunk(), chunk()])).boxed_unsync()
}

/// A body that breaks off before its first byte.
fn broken() -> OriginBody {
    let cut = [Err(OriginError("cut"))];
    StreamBody::new(stream::iter(cut)).boxed_unsync()
}

/// What the origin may send once it has withdrawn a page.
fn withdrawals() -> Vec<(&'static str, FullResponse)> {
    vec![
        ("a 404", response(404, &[], "gone")),
        ("a 410 without content", response(410, &[], "")),
        (
            "private, no-store",
            response(200, &[("cache-control", "private, no-store")], "own"),
        ),
        (
            "Set-Cookie",
            response(200, &[LASTING, ("set-cookie", "id=1")], "own"),
        ),
        ("Vary: *", response(200, &[LASTING, ("vary", "*")], "own")),
        (
            "a redirection",
            response(302, &[("location", "/login")], ""),
        ),
        (
            "an event stream",
            response(
                200,
                &[LASTING, ("content-type", "text/event-stream")],
                "data",
            ),
        ),
        (
            "a long body",
            response(200, &[LASTING, ("content-length", "2000000")], ""),
        ),
        ("a 200 without lifetime", response(200, &[], "new")),
        ("a 403", response(403, &[], "no")),
        ("a 500", response(500, &[], "error")),
    ]
}

/// Regression: without a validator, the old page was served to the end of the window; with one,
/// redirections left it in place.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_may_not_be_stored_removes_the_stale_response() {
    for first in [&[SWR][..], &[SWR, ETAG]] {
        for (what, then) in withdrawals() {
            let status = then.status();
            let origin = first_then(response(200, first, "old"), move || {
                Ok(then.clone().map(full))
            });
            let service = cached(&new_keep(Table::new()), &origin);
            send(&service, get("/a")).await;
            advance(10).await;
            assert_eq!(send(&service, get("/a")).await.body, "old", "{what}");
            origin.called(2).await;
            run_other_tasks().await;
            let next = send(&service, get("/a")).await;
            assert_eq!(next.status, status.as_u16(), "{what}: {next:?}");
            assert_ne!(next.body, "old", "{what}");
            assert!(
                next.cache_status().contains("fwd=uri-miss"),
                "{what}: {next:?}"
            );
        }
    }
}

/// Regression: the length was known too late, and the old page stayed, also with a validator.
#[tokio::test(start_paused = true)]
async fn a_body_that_turns_out_too_long_removes_the_stale_response() {
    for first in [&[SWR][..], &[SWR, ETAG]] {
        let origin = first_then(response(200, first, "old"), || {
            let mut response = Response::new(endless_chunks());
            let lasting = LASTING.1.parse().expect("a value");
            response.headers_mut().insert(LASTING.0, lasting);
            Ok(response)
        });
        let service = cached(&new_keep(Table::new()), &origin);
        send(&service, get("/a")).await;
        advance(10).await;
        assert_eq!(send(&service, get("/a")).await.body, "old");
        origin.called(2).await;
        run_other_tasks().await;
        assert_eq!(send(&service, get("/a")).await.body.len(), 1_400_000);
    }
}

/// Regression: the tag was found missing too late, and the old page stayed.
#[tokio::test(start_paused = true)]
async fn content_without_a_value_for_a_tag_removes_the_stale_response() {
    let json = ("content-type", "application/json");
    let table = engagements_with(|route| {
        route
            .tags("org:{answer.org}")
            .ttl(Duration::from_secs(1))
            .stale_while_revalidate(Duration::from_secs(60))
    });
    let origin = Origin::new(move |_, call| match call {
        1 => response(200, &[json], "{\"org\":1}"),
        _ => response(200, &[json], "{}"),
    });
    let service = cached(&new_keep(table), &origin);
    send(&service, get("/engagements/1")).await;
    advance(10).await;
    let stale = send(&service, get("/engagements/1")).await;
    assert_eq!(stale.body, "{\"org\":1}");
    origin.called(2).await;
    run_other_tasks().await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "{}");
}

/// Regression: a validation without a validator left the withdrawn page for `stale-if-error`.
#[tokio::test(start_paused = true)]
async fn a_validation_that_may_not_be_stored_removes_the_stale_response() {
    let fields = [("cache-control", "max-age=1, stale-if-error=86400")];
    for (what, then) in withdrawals() {
        if then.status().is_server_error() {
            continue;
        }
        let origin = Origin::script(vec![
            Ok(response(200, &fields, "old")),
            Ok(then),
            Err(OriginError("unreachable")),
        ]);
        let service = cached(&new_keep(Table::new()), &origin);
        send(&service, get("/a")).await;
        advance(10).await;
        assert_ne!(send(&service, get("/a")).await.body, "old", "{what}");
        let next = tower::ServiceExt::oneshot(service, get("/a")).await;
        assert!(next.is_err(), "{what}: {next:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_or_a_refusal_of_the_request_leaves_the_stale_response() {
    let within = (
        "cache-control",
        "max-age=1, stale-while-revalidate=86400, stale-if-error=86400",
    );
    type Then = fn() -> OriginResult;
    let cases: [(&str, _, Then); 7] = [
        ("a 503 within stale-if-error", within, || {
            Ok(response(503, &[], "error").map(full))
        }),
        ("a 429", SWR, || Ok(response(429, &[], "slow").map(full))),
        ("a 400", SWR, || {
            Ok(response(400, &[LASTING], "bad").map(full))
        }),
        ("a 431", SWR, || Ok(response(431, &[], "long").map(full))),
        ("an error", SWR, || Err(OriginError("unreachable"))),
        ("a broken 404", SWR, || {
            let mut response = Response::new(broken());
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            Ok(response)
        }),
        ("a broken 200 without lifetime", SWR, || {
            Ok(Response::new(broken()))
        }),
    ];
    for (what, first, then) in cases {
        let origin = first_then(response(200, &[first], "old"), then);
        let service = cached(&new_keep(Table::new()), &origin);
        send(&service, get("/a")).await;
        for calls in 2..5 {
            advance(10).await;
            let seen = send(&service, get("/a")).await;
            assert!(seen.cache_status().contains("hit"), "{what}: {seen:?}");
            assert_eq!(seen.body, "old", "{what}");
            origin.called(calls).await;
            run_other_tasks().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_that_may_not_be_stored_leaves_the_fresh_response() {
    for (what, then) in withdrawals() {
        let table = engagements_with(|route| route.refresh_ahead(Duration::from_secs(1799)));
        let origin = first_then(response(200, &[], "old"), move || {
            Ok(then.clone().map(full))
        });
        let service = cached(&new_keep(table), &origin);
        send(&service, get("/engagements/1")).await;
        if what.contains("without lifetime") {
            // The table gives it one.
            continue;
        }
        for calls in 2..4 {
            advance(3).await;
            let seen = send(&service, get("/engagements/1")).await;
            assert_eq!(seen.body, "old", "{what}");
            // Regression: the refusal held the claim of the refresh for ten seconds.
            origin.called(calls).await;
            run_other_tasks().await;
        }
    }
}

/// Regression: a 200 without lifetime that breaks off at its first byte removed the response that
/// `stale-if-error` keeps.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_begins_leaves_the_response_that_replaces_errors() {
    let fields = [("cache-control", "max-age=1, stale-if-error=3600"), ETAG];
    let origin = Origin::from_fn(move |_, call| {
        ready(Ok(match call {
            1 => response(200, &fields, "whole").map(full),
            2 => Response::new(broken()),
            _ => response(503, &[], "error").map(full),
        }))
    });
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    for (status, calls) in [("service-error", 2), ("stale-if-error", 3)] {
        advance(10).await;
        let seen = send(&service, get("/a")).await;
        assert_eq!((seen.body.as_str(), origin.calls()), ("whole", calls));
        assert!(seen.cache_status().contains(status), "{seen:?}");
    }
}

/// Regression: the candidate was forgotten when the request was sent again.
#[tokio::test(start_paused = true)]
async fn a_refresh_sent_again_removes_what_it_supersedes() {
    let origin = Origin::script(vec![
        Ok(response(200, &[SWR, ETAG], "old")),
        Ok(response(304, &[("etag", "\"two\"")], "")),
        Ok(response(200, &[("cache-control", "private")], "new")),
    ]);
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    advance(10).await;
    assert_eq!(send(&service, get("/a")).await.body, "old");
    origin.called(3).await;
    run_other_tasks().await;
    assert_eq!(send(&service, get("/a")).await.body, "new");
}

/// Regression: the new response was stored under the key of all equivalent queries, and the old one
/// stayed under the key of this query.
#[tokio::test(start_paused = true)]
async fn a_refresh_stored_under_another_key_replaces_the_stale_response() {
    let origin = Origin::new(|_, call| match call {
        1 => response(200, &[SWR], "old"),
        _ => response(200, &[LASTING, ("no-vary-search", "key-order")], "new"),
    });
    let service = cached(&new_keep(Table::new()), &origin);
    let query = || request("GET", "/a?b=1&a=2", &[]);
    send(&service, query()).await;
    advance(10).await;
    assert_eq!(send(&service, query()).await.body, "old");
    origin.called(2).await;
    run_other_tasks().await;
    let next = send(&service, query()).await;
    assert_eq!((next.body.as_str(), origin.calls()), ("new", 2), "{next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_cannot_remove_a_response_with_credentials_of_no_use() {
    let fields = [("cache-control", "max-age=1, stale-if-error=3600, public")];
    let origin = Origin::new(move |parts, call| match call {
        1 => response(200, &fields, "page"),
        _ if parts.headers.contains_key("authorization") => response(401, &[], "who?"),
        _ => response(503, &[], "error"),
    });
    let service = cached(&new_keep(Table::new()), &origin);
    send(&service, get("/a")).await;
    advance(10).await;
    let stranger = request("GET", "/a", &[("authorization", "Basic bm9ib2R5")]);
    assert_eq!(send(&service, stranger).await.status, 401);
    assert_eq!(send(&service, get("/a")).await.body, "page");
    assert_eq!(origin.calls(), 3);
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_may_not_be_stored_removes_the_stale_response_from_redis() {
    use crate::{
        common::keeps::redis_keep,
        support::{RedisServer, until},
    };

    let server = RedisServer::start();
    let origin = first_then(response(200, &[SWR], "old"), || {
        Ok(response(404, &[], "gone").map(full))
    });
    let here = cached(&redis_keep(server.url(), Table::new()).await, &origin);
    send(&here, get("/a")).await;
    until("the refresh", async || {
        let seen = send(&here, get("/a")).await;
        (seen.body == "gone").then_some(())
    })
    .await;
    let there = cached(&redis_keep(server.url(), Table::new()).await, &origin);
    assert_eq!(send(&there, get("/a")).await.body, "gone");
}
