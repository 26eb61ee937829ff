//! The local tier in front of Redis.

use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};
use tower_keep::{
    Keep, Key, Table,
    table::{Local, ValueSettings, secs},
};

use crate::{
    common::{
        client::{get, request, run_other_tasks, send, send_for_head},
        keeps::{engagements_with, new_keep, redis_keep},
        origin::{Gate, Origin, body_channel, cached, full, ok},
    },
    support::{RedisServer, Reply, until},
};

fn table() -> Table {
    engagements_with(|route| route.max_body(4 << 20))
}

async fn keep(server: &RedisServer, table: Table) -> Keep {
    redis_keep(server.url(), table).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_copy_expires_with_the_original() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[("cache-control", "max-age=1")]);
    let (one, other) = (keep(&server, table()).await, keep(&server, table()).await);
    send(&cached(&one, &origin), get("/engagements/1")).await;
    let there = cached(&other, &origin);
    let copy = send(&there, get("/engagements/1")).await;
    assert_eq!(copy.body, "call 1");
    until("the end of the copy", || async {
        let seen = send(&there, get("/engagements/1")).await;
        assert!(
            seen.body != "call 1" || !seen.cache_status().contains("ttl=-"),
            "{seen:?}"
        );
        (seen.body != "call 1").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stale_in_redis_is_stale_in_the_local_tier() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[("cache-control", "max-age=1"), ("etag", "\"1\"")]);
    let one = cached(&keep(&server, table()).await, &origin);
    send(&one, get("/engagements/1")).await;
    let fields = [("cache-control", "only-if-cached")];
    until("the end of its freshness", || async {
        let seen = send(&one, request("GET", "/engagements/1", &fields)).await;
        (seen.status == 504).then_some(())
    })
    .await;
    assert_ne!(
        server.command(&["GET", "engagement:1"]),
        Reply::Nil,
        "the entry is still stored"
    );
    // A process that has just started.
    let other = cached(&keep(&server, table()).await, &origin);
    let seen = send(&other, get("/engagements/1")).await;
    assert_eq!(seen.body, "call 2");
    assert!(seen.cache_status().contains("fwd=stale"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_too_large_for_the_local_tier_is_stored_in_redis_only() {
    let server = RedisServer::start();
    let large = "x".repeat(600 << 10);
    let origin = Origin::new(move |parts, _| {
        let body = if parts.uri.path().ends_with("large") {
            &*large
        } else {
            "small"
        };
        Response::new(Full::from(body.to_owned()))
    });
    let table = table().local(Local::new().size(1 << 20));
    let service = cached(&keep(&server, table).await, &origin);
    for (path, gets) in [("/engagements/small", 0), ("/engagements/large", 3)] {
        let first = send(&service, get(path)).await.body;
        // Releasing the lock reads it.
        let lock = format!(
            "~lock:engagement:{}",
            path.rsplit('/').next().expect("a segment")
        );
        until("the lock to be given back", || async {
            (server.command(&["EXISTS", &lock]) == Reply::Int(0)).then_some(())
        })
        .await;
        let before = server.calls("get");
        for _ in 0..3 {
            assert_eq!(send(&service, get(path)).await.body, first);
        }
        assert_eq!(server.calls("get") - before, gets, "{path}");
    }
    assert_eq!(origin.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_local_tier_redis_serves() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[]);
    let service = cached(
        &keep(&server, table().local(Local::new().size(0))).await,
        &origin,
    );
    for _ in 0..5 {
        assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    }
    assert_eq!(origin.calls(), 1);
}

/// Regression: `Cache-Status` said `stored` although there was no tier, or none large enough.
#[tokio::test]
async fn a_response_that_no_tier_keeps_is_not_reported_as_stored() {
    for (size, length) in [(0, 10), (1 << 20, 600 << 10)] {
        let origin = Origin::new(move |_, _| Response::new(Full::from("x".repeat(length))));
        let keep = new_keep(table().local(Local::new().size(size)));
        let service = cached(&keep, &origin);
        for _ in 0..2 {
            let seen = send(&service, get("/engagements/1")).await;
            assert_eq!(seen.body.len(), length);
            let status = seen.cache_status();
            assert!(status.contains("fwd=uri-miss"), "{status}");
            assert!(!status.contains("stored"), "{status}");
        }
        let report = keep.warm(service, [get("/engagements/2")]).await;
        assert_eq!((report.stored(), report.refused()), (0, 1));
    }
}

/// As above, where the head is sent before the body ends.
#[tokio::test]
async fn without_a_tier_a_streamed_response_is_not_reported_as_stored() {
    let origin = Origin::from_fn(|_, _| async {
        let (feed, body) = body_channel();
        tokio::spawn(async move { feed.data("streamed").await });
        Ok(ok(body, &[("content-length", "8")]))
    });
    for (size, is_stored) in [(0, false), (1 << 20, true)] {
        let keep = new_keep(table().local(Local::new().size(size)));
        let seen = send(&cached(&keep, &origin), get("/engagements/1")).await;
        assert_eq!(seen.body, "streamed");
        assert_eq!(
            seen.cache_status().contains("stored"),
            is_stored,
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_requests_are_served() {
    let mut server = RedisServer::start();
    let origin = Origin::with_fields(&[]);
    let service = cached(&keep(&server, table()).await, &origin);
    send(&service, get("/engagements/1")).await;
    server.kill();
    // Within `max_lag` the entry may be used; later an invalidation could have been missed.
    until("an end of trust", || async {
        let seen = send(&service, get("/engagements/1")).await;
        assert_eq!(seen.status, 200);
        (seen.body != "call 1").then_some(())
    })
    .await;
    server.restart();
    until("a hit again", || async {
        let seen = send(&service, get("/engagements/1")).await;
        assert_eq!(seen.status, 200);
        seen.cache_status().contains("; hit").then_some(())
    })
    .await;
}

/// Without the journal a fill may be used for `max_lag` after the call of the origin, also while its body
/// arrives.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_fill_under_way_is_shared() {
    let mut server = RedisServer::start();
    let origin = Origin::from_fn(|request, call| async move {
        if request.uri().path() == "/engagements/whole" {
            return Ok(ok(full("whole"), &[]));
        }
        let (feed, body) = body_channel();
        tokio::spawn(async move {
            feed.data(format!("call {call}")).await;
            // Until no reader is left.
            feed.closed().await;
        });
        Ok(ok(body, &[]))
    });
    let service = cached(&keep(&server, table()).await, &origin);
    send(&service, get("/engagements/whole")).await;
    server.kill();
    until("an end of trust", || async {
        let cached = [("cache-control", "only-if-cached")];
        let seen = send(&service, request("GET", "/engagements/whole", &cached)).await;
        (seen.status == 504).then_some(())
    })
    .await;
    let mut number = 0;
    until("a fill that two share", || {
        number += 1;
        let path = format!("/engagements/{number}");
        let service = service.clone();
        async move {
            let leader = send_for_head(&service, get(&path)).await;
            let follower = send_for_head(&service, get(&path)).await;
            let status = follower.headers()["cache-status"].to_str().expect("text");
            let shared = status.contains("collapsed").then_some(());
            drop(leader);
            shared
        }
    })
    .await;
}

/// Regression: the copy read again from Redis had lost the record of the failure, so every request called
/// the origin.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_origin_is_not_called_while_redis_has_a_stale_response() {
    for local in [64 << 20, 0] {
        let server = RedisServer::start();
        let origin = Origin::new(|_, call| {
            let status = if call == 1 { 200 } else { 503 };
            let response = Response::builder().status(status);
            let response = response.header("cache-control", "max-age=1, stale-if-error=600");
            response
                .body(Full::from(format!("call {call}")))
                .expect("a response")
        });
        let table = table().local(Local::new().size(local));
        let keep = keep(&server, table).await;
        let service = cached(&keep, &origin);
        send(&service, get("/engagements/1")).await;
        until("the first failure", || async {
            assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
            (origin.calls() == 2).then_some(())
        })
        .await;
        for _ in 0..20 {
            assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
        }
        // One more if twenty requests take longer than the pause.
        assert!(origin.calls() <= 3, "{}", origin.calls());
    }
}

fn plain_config() -> ValueSettings {
    ValueSettings::new("config:*").plain(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_values_are_bare_json_both_ways() {
    let server = RedisServer::start();
    let table = Table::new().value(plain_config().ttl(secs(100)));
    let keep = keep(&server, table).await;
    let key = Key::new("config").id("flags");
    keep.set(&key, &json!({ "dark": true }))
        .await
        .expect("JSON");
    assert_eq!(
        server.command(&["GET", "config:flags"]).text(),
        "{\"dark\":true}"
    );
    let Reply::Int(left) = server.command(&["PTTL", "config:flags"]) else {
        panic!("a time to live");
    };
    assert!((1..=100_000).contains(&left), "{left}");

    server.command(&["SET", "config:flags", "{\"dark\":false}"]);
    let read: Option<Value> = keep.get(&key).await.expect("JSON");
    assert_eq!(
        read,
        Some(json!({ "dark": false })),
        "a plain value is read from Redis each time"
    );
    server.command(&["SET", "config:flags", "{not json"]);
    assert!(keep.get::<Value>(&key).await.is_err());
    server.command(&["DEL", "config:flags"]);
    server.command(&["RPUSH", "config:flags", "a list"]);
    assert_eq!(keep.get::<Value>(&key).await.expect("no error"), None);
}

/// Regression: waiting calls did not share a plain value.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_value_is_made_once_for_concurrent_calls() {
    let server = RedisServer::start();
    let keep = keep(&server, Table::new().value(plain_config())).await;
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let gate = Gate::closed();
    let all = (0..50).map(|_| {
        let (keep, calls) = (keep.clone(), std::sync::Arc::clone(&calls));
        let gate = gate.clone();
        tokio::spawn(async move {
            let make = || async {
                gate.pass().await;
                Ok::<_, ()>(calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
            };
            keep.get_or_set(&Key::new("config").id(1), make).await
        })
    });
    let all: Vec<_> = all.collect();
    gate.arrival().await;
    run_other_tasks().await;
    gate.open();
    for one in futures_util::future::join_all(all).await {
        assert_eq!(one.expect("no panic"), Ok(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_json_response_can_be_read_as_a_value_in_another_process() {
    let server = RedisServer::start();
    let origin = Origin::new(|_, _| {
        let response = Response::builder().header("content-type", "application/json");
        response
            .body(Full::from("{\"name\":\"Open\"}"))
            .expect("a response")
    });
    let (one, other) = (keep(&server, table()).await, keep(&server, table()).await);
    send(&cached(&one, &origin), get("/engagements/1")).await;
    let value: Option<Value> = other
        .get(&Key::new("engagement").id(1))
        .await
        .expect("JSON");
    assert_eq!(value, Some(json!({ "name": "Open" })));
}

/// Regression: a lookup in Redis put the older response back into the local tier.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_entry_is_never_replaced_by_an_older_one() {
    let server = RedisServer::start();
    let origin = Origin::with_fields(&[]);
    let service = cached(&keep(&server, table()).await, &origin);
    send(&service, get("/engagements/1")).await;
    let Reply::Bulk(older) = server.command(&["GET", "engagement:1"]) else {
        panic!("it is stored");
    };
    let with = |directives| request("GET", "/engagements/1", &[("cache-control", directives)]);
    assert_eq!(send(&service, with("no-cache")).await.body, "call 2");
    // As if Redis had not stored the second.
    server.command(&[&b"SET"[..], b"engagement:1", &older, b"PX", b"600000"]);
    let none = send(&service, with("only-if-cached, min-fresh=99999")).await;
    assert_eq!(none.status, 504);
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

/// Regression: while invalidations could be missed, a stale response replaced errors for as long as
/// it was stored.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_stale_response_replaces_an_error_only_within_its_time() {
    let mut server = RedisServer::start();
    let origin = Origin::new(|_, call| {
        let response = Response::builder().status(if call == 1 { 200 } else { 503 });
        let response = response.header("cache-control", "max-age=1, stale-if-error=2");
        response
            .body(Full::from(format!("call {call}")))
            .expect("a response")
    });
    let service = cached(&keep(&server, table()).await, &origin);
    send(&service, get("/engagements/1")).await;
    server.kill();
    until("the end of the window", || async {
        let seen = send(&service, get("/engagements/1")).await;
        (seen.status == 503).then_some(())
    })
    .await;
}
