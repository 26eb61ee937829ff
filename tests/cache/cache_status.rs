//! What `Cache-Status` says about requests that are forwarded.

use std::sync::Mutex;

use tower_keep::{Route, Table, table::mins};

use crate::common::{
    client::{advance, get, request, run_other_tasks, send, send_for_head},
    keeps::{engagements, new_keep},
    origin::{Origin, body_channel, cached, ok, response},
};

/// Regression: it said `fwd=stale`.
#[tokio::test(start_paused = true)]
async fn a_fresh_response_that_the_request_may_not_use_is_not_called_stale() {
    let route = Route::new("/things/{id}").key("thing:{id}");
    let table = Table::new().ttl("thing", mins(1)).route(route).jitter(0.0);
    let origin = Origin::with_fields(&[("etag", "\"one\"")]);
    let service = cached(&new_keep(table), &origin);
    send(&service, get("/things/1")).await;
    let with = |field, value| request("GET", "/things/1", &[(field, value)]);
    let user = send(&service, with("authorization", "Basic YTpi")).await;
    assert_eq!(
        user.cache_status(),
        "tower-keep; fwd=request; detail=credentials"
    );
    for directive in ["no-cache", "max-age=0", "min-fresh=600"] {
        advance(1).await;
        let reload = send(&service, with("cache-control", directive)).await;
        let status = reload.cache_status();
        assert!(status.starts_with("tower-keep; fwd=request"), "{status}");
    }
    advance(100).await;
    for (field, value) in [
        ("authorization", "Basic YTpi"),
        ("cache-control", "no-cache"),
    ] {
        let late = send(&service, with(field, value)).await;
        let status = late.cache_status();
        assert!(status.starts_with("tower-keep; fwd=stale"), "{status}");
        assert!(late.cache_status().contains("fwd=stale"));
    }
}

/// Regression: a body of unknown length was said to be stored, and then turned out too long.
#[tokio::test]
async fn a_body_of_unknown_length_is_not_said_to_be_stored() {
    for (fields, said) in [
        (&[][..], "tower-keep; fwd=uri-miss"),
        (
            &[("content-length", "4")],
            "tower-keep; fwd=uri-miss; stored",
        ),
    ] {
        let (feed, body) = body_channel();
        let body = Mutex::new(Some(body));
        let origin = Origin::from_fn(move |_, _| {
            let body = body.lock().expect("no panic").take().expect("one call");
            std::future::ready(Ok(ok(body, fields)))
        });
        let service = cached(&new_keep(engagements()), &origin);
        let head = send_for_head(&service, get("/engagements/1")).await;
        assert_eq!(head.headers()["cache-status"], said);
        feed.data("body").await;
        drop(feed);
        run_other_tasks().await;
        // It is stored all the same.
        let next = send(&service, get("/engagements/1")).await;
        assert!(next.cache_status().contains("hit"), "{next:?}");
    }
}

#[tokio::test]
async fn a_warm_up_counts_bodies_of_unknown_length() {
    let origin = Origin::from_fn(|request, _| async move {
        let (feed, body) = body_channel();
        let is_long = request.uri().path().ends_with('2');
        tokio::spawn(async move {
            for _ in 0..if is_long { 20 } else { 2 } {
                feed.data(vec![b'x'; 100_000]).await;
            }
        });
        Ok(ok(body, &[]))
    });
    let keep = new_keep(engagements());
    let service = cached(&keep, &origin);
    let requests = [get("/engagements/1"), get("/engagements/2")];
    let report = keep.warm(service, requests).await;
    assert_eq!((report.stored(), report.refused()), (1, 1));
}

#[tokio::test]
async fn a_variant_is_missed_only_if_no_stored_one_matches() {
    let origin = Origin::new(|parts, _| match parts.uri.path() {
        "/varies" => response(
            200,
            &[("cache-control", "max-age=60"), ("vary", "accept")],
            "body",
        ),
        _ => response(200, &[("cache-control", "no-store")], "body"),
    });
    let service = cached(&new_keep(Table::new()), &origin);
    for (path, accept, status) in [
        ("/varies", "text/html", "tower-keep; fwd=uri-miss; stored"),
        ("/varies", "text/plain", "tower-keep; fwd=vary-miss; stored"),
        (
            "/plain",
            "text/html",
            "tower-keep; fwd=uri-miss; detail=no-store",
        ),
        (
            "/plain",
            "text/plain",
            "tower-keep; fwd=uri-miss; detail=no-store",
        ),
    ] {
        let seen = send(&service, request("GET", path, &[("accept", accept)])).await;
        assert_eq!(seen.cache_status(), status, "{path} {accept}");
    }
}

/// Regression: the note in Redis that a response is not stored was taken for a list of variants.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_not_stored_is_no_missed_variant() {
    use crate::{common::keeps::redis_keep, support::RedisServer};

    let server = RedisServer::start();
    let origin = Origin::with_fields(&[("cache-control", "no-store")]);
    for _ in 0..2 {
        let service = cached(&redis_keep(server.url(), engagements()).await, &origin);
        for _ in 0..3 {
            let seen = send(&service, get("/engagements/1")).await;
            assert_eq!(
                seen.cache_status(),
                "tower-keep; fwd=uri-miss; detail=no-store"
            );
        }
    }
}
