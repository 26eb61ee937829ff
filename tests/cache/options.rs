//! What a route and a layer can be told, and when it ends: on a clock that the tests move.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::time::advance;
use tower::Layer;
use tower_keep::{
    CacheLayer, Keep, Key, Route, Scope, Table,
    table::{Local, RequestDirectives, mins, secs},
};

use super::{
    kit::{Seen, get, request, send},
    stage::{Stage, answer, engagement, engagements, full, idle},
};

type Fields = &'static [(&'static str, &'static str)];

fn counting(fields: Fields) -> Stage {
    Stage::new(move |_, call| async move { Ok(answer(full(format!("call {call}")), fields)) })
}

fn is_hit(seen: &Seen) -> bool {
    seen.cache_status().contains("; hit")
}

fn ttl(seen: &Seen) -> u64 {
    let (_, ttl) = seen.cache_status().split_once("ttl=").expect("a ttl");
    ttl.parse().expect("a number")
}

#[tokio::test(start_paused = true)]
async fn a_response_is_fresh_for_the_ttl_and_not_longer() {
    let stage = counting(&[]);
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    send(&service, get("/engagements/1")).await;
    advance(secs(1799)).await;
    let last = send(&service, get("/engagements/1")).await;
    assert_eq!((last.body.as_str(), ttl(&last)), ("call 1", 1));
    assert_eq!(last.headers["age"], "1799");
    advance(secs(1)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_the_maximum() {
    let stage = counting(&[("cache-control", "max-age=31536000")]);
    let service = stage.cached(&Keep::new(engagements().max_ttl(secs(60))).expect("a valid table"));
    send(&service, get("/engagements/1")).await;
    assert_eq!(ttl(&send(&service, get("/engagements/1")).await), 60);
    advance(secs(60)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test]
async fn only_the_tables_ttl_is_spread() {
    for (fields, spread) in [
        (&[][..], true),
        (&[("cache-control", "max-age=1800")][..], false),
    ] {
        let stage = counting(fields);
        let service = stage.cached(&Keep::new(engagements().jitter(0.5)).expect("a valid table"));
        let mut ttls = Vec::new();
        for id in 0..50 {
            let path = format!("/engagements/{id}");
            send(&service, get(&path)).await;
            ttls.push(ttl(&send(&service, get(&path)).await));
        }
        assert!(
            ttls.iter().all(|ttl| (890..=1800).contains(ttl)),
            "{ttls:?}"
        );
        assert_eq!(ttls.iter().any(|ttl| *ttl < 1700), spread, "{ttls:?}");
    }
}

#[tokio::test]
async fn a_condition_in_code_refuses_what_the_table_allows() {
    let keep = Keep::new(engagements()).expect("a valid table");
    let stage = counting(&[("x-degraded", "yes")]);
    let layer = CacheLayer::new(&keep).store_if(|head| !head.headers.contains_key("x-degraded"));
    let service = layer.layer(stage.clone());
    let first = send(&service, get("/engagements/1")).await;
    assert!(first.cache_status().contains("condition"), "{first:?}");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

/// What a write of such a path invalidated was the key of its path, under which nothing lay.
#[tokio::test]
async fn a_key_in_code_replaces_the_routes() {
    let keep = Keep::new(engagements()).expect("a valid table");
    let stage = counting(&[]);
    let layer = CacheLayer::new(&keep).key(|parts| {
        let tenant = parts.headers.get("x-tenant")?.to_str().ok()?;
        Some(Key::new("tenant").id(tenant))
    });
    let service = layer.layer(stage.clone());
    let of = |method, path, tenant| request(method, path, &[("x-tenant", tenant)]);
    assert_eq!(
        send(&service, of("GET", "/engagements/1", "a")).await.body,
        "call 1"
    );
    assert_eq!(
        send(&service, of("GET", "/engagements/2", "a")).await.body,
        "call 1"
    );
    assert_eq!(
        send(&service, of("GET", "/engagements/1", "b")).await.body,
        "call 2"
    );
    let none = send(&service, get("/engagements/1")).await;
    assert!(none.cache_status().contains("fwd=bypass"), "{none:?}");

    send(&service, of("PUT", "/engagements/1", "a")).await;
    assert_eq!(
        send(&service, of("GET", "/engagements/1", "a")).await.body,
        "call 5"
    );
    assert_eq!(
        send(&service, of("GET", "/engagements/1", "b")).await.body,
        "call 2"
    );
}

#[tokio::test(start_paused = true)]
async fn another_table_counts_from_the_next_request_on() {
    let keep = Keep::new(engagements()).expect("a valid table");
    let stage = counting(&[]);
    let service = stage.cached(&keep);
    send(&service, get("/engagements/1")).await;
    let other = Route::new("/engagements/{id}")
        .key("other:{id}")
        .scope(Scope::Public)
        .ttl(secs(5));
    let other = Table::new().jitter(0.0).route(other);
    keep.reload(&other).expect("a good table");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
    assert_eq!(ttl(&send(&service, get("/engagements/1")).await), 5);

    let moved = engagements().namespace("elsewhere:");
    let error = keep.reload(&moved).expect_err("another namespace");
    assert!(
        error.is_config() && error.to_string().contains("namespace"),
        "{error}"
    );
    let wrong = engagements().route(Route::new("/engagements/{id}").key("twice:{id}"));
    assert!(keep.reload(&wrong).is_err());
    assert_eq!(
        ttl(&send(&service, get("/engagements/1")).await),
        5,
        "the present one stays"
    );

    keep.reload(&engagements()).expect("a good table");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_change_under_load() {
    let keep = Keep::new(engagements()).expect("a valid table");
    let stage = counting(&[]);
    let service = stage.cached(&keep);
    let over = Arc::new(AtomicBool::new(false));
    let requests: Vec<_> = (0..4)
        .map(|_| {
            let (service, over) = (service.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    for id in 0..8 {
                        let seen = send(&service, get(&format!("/engagements/{id}"))).await;
                        assert_eq!(seen.status, 200);
                    }
                }
            })
        })
        .collect();
    let reloads: Vec<_> = (0..4)
        .map(|n| {
            let keep = keep.clone();
            std::thread::spawn(move || {
                for size in 0..100 {
                    let key = format!("engagement{}:{{id}}", (n + size) % 3);
                    let route = Route::new("/engagements/{id}")
                        .key(key)
                        .scope(Scope::Public);
                    let local = Local::new().size(size << 16);
                    keep.reload(&Table::new().local(local).route(route))
                        .expect("a good table");
                }
            })
        })
        .collect();
    for reload in reloads {
        reload.join().expect("no panic");
    }
    over.store(true, Ordering::Relaxed);
    for request in requests {
        request.await.expect("no panic");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_are_stored_for_as_long_as_the_table_says() {
    let stage = Stage::new(|request, call| async move {
        let mut response = answer(full(format!("call {call}")), &[]);
        let status = request.uri().path().rsplit('/').next().expect("a segment");
        *response.status_mut() = status.parse().expect("a status");
        Ok(response)
    });
    let table = engagement(|route| route.negative(StatusCode::NOT_FOUND, secs(10)));
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    let missing = send(&service, get("/engagements/404")).await;
    assert_eq!((missing.status, missing.body.as_str()), (404, "call 1"));
    advance(secs(9)).await;
    assert_eq!(send(&service, get("/engagements/404")).await.body, "call 1");
    advance(secs(1)).await;
    assert_eq!(send(&service, get("/engagements/404")).await.body, "call 2");
    for call in 3..=4 {
        let other = send(&service, get("/engagements/410")).await;
        assert_eq!(other.body, format!("call {call}"));
    }
}

#[tokio::test]
async fn an_override_outranks_the_response_but_not_its_prohibitions() {
    for (directives, stored) in [
        ("max-age=1", true),
        ("no-cache", true),
        ("private", false),
        ("no-store", false),
    ] {
        let fields = [("cache-control", directives)];
        let stage =
            Stage::new(
                move |_, call| async move { Ok(answer(full(format!("call {call}")), &fields)) },
            );
        let table = engagement(|route| route.override_freshness(true));
        let service = stage.cached(&Keep::new(table).expect("a valid table"));
        send(&service, get("/engagements/1")).await;
        let second = send(&service, get("/engagements/1")).await;
        assert_eq!(is_hit(&second), stored, "{directives}: {second:?}");
        if stored {
            assert!(ttl(&second) > 1700, "{second:?}");
        }
    }
}

#[tokio::test]
async fn what_is_stripped_is_neither_stored_nor_replayed() {
    let stage = counting(&[
        ("set-cookie", "session=1"),
        ("x-trace", "7"),
        ("ratelimit", "\"a\";r=1"),
    ]);
    let table = engagement(|route| route.strip(["set-cookie", "x-trace"]));
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    let first = send(&service, get("/engagements/1")).await;
    assert_eq!(first.headers["set-cookie"], "session=1");
    let hit = send(&service, get("/engagements/1")).await;
    assert_eq!(hit.body, "call 1");
    for name in ["set-cookie", "x-trace", "ratelimit"] {
        assert!(!hit.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn only_keyed_parameters_distinguish() {
    let only = engagement(|route| route.query(["page"]));
    let ignoring = engagement(|route| route.ignore_query(["utm_*"]));
    for (table, other) in [(only, "call 1"), (ignoring, "call 3")] {
        let stage = counting(&[]);
        let service = stage.cached(&Keep::new(table).expect("a valid table"));
        let body = async |query: &str| {
            send(&service, get(&format!("/engagements/1?{query}")))
                .await
                .body
        };
        assert_eq!(body("page=1").await, "call 1");
        assert_eq!(body("page=2").await, "call 2");
        assert_eq!(body("utm_source=x&page=1").await, "call 1");
        assert_eq!(body("p%61ge=1").await, "call 1");
        assert_eq!(body("page=1&sort=up").await, other);
    }
}

#[tokio::test]
async fn a_route_serves_its_hosts_alone() {
    let stage = counting(&[]);
    let table = engagement(|route| route.host(["api.example.com"]));
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    let of = |host| request("GET", "/engagements/1", &[("host", host)]);
    assert_eq!(send(&service, of("api.example.com")).await.body, "call 1");
    assert_eq!(
        send(&service, of("API.example.com:80")).await.body,
        "call 1"
    );
    for call in 2..=3 {
        // For others it is a path that no route names: no TTL of the table's.
        let other = send(&service, of("evil.example.com")).await;
        assert_eq!(other.body, format!("call {call}"));
    }
}

#[tokio::test]
async fn another_version_leaves_the_old_entries_behind() {
    let keep = Keep::new(engagements()).expect("a valid table");
    let stage = counting(&[]);
    let service = stage.cached(&keep);
    send(&service, get("/engagements/1")).await;
    keep.reload(&engagements().version("engagement", 2))
        .expect("a good table");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
    keep.reload(&engagements()).expect("a good table");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
}

#[tokio::test(start_paused = true)]
async fn clients_can_be_kept_from_making_the_origin_work() {
    let table = engagement(|route| route.request_directives(RequestDirectives::Ignore));
    for (table, ignored) in [(table, true), (engagements(), false)] {
        let stage = counting(&[]);
        let service = stage.cached(&Keep::new(table).expect("a valid table"));
        send(&service, get("/engagements/1")).await;
        for directive in ["no-cache", "no-store", "max-age=0", "min-fresh=99999"] {
            advance(secs(1)).await;
            let calls = stage.calls();
            let fields = [("cache-control", directive), ("pragma", "no-cache")];
            send(&service, request("GET", "/engagements/1", &fields)).await;
            let spared = stage.calls() == calls;
            // RFC 9111 section 5.2.1.5: `no-store` does not forbid a stored answer.
            assert_eq!(spared, ignored || directive == "no-store", "{directive}");
        }
        let fields = [("cache-control", "only-if-cached")];
        let only = send(&service, request("GET", "/engagements/2", &fields)).await;
        assert_eq!(only.status, if ignored { 200 } else { 504 });
    }
}

/// Good once, then 503 while `down`.
fn shaky(down: &Arc<AtomicBool>, fields: Fields) -> Stage {
    let down = Arc::clone(down);
    Stage::new(move |_, call| {
        let down = down.load(Ordering::SeqCst);
        async move {
            let mut response = answer(full(format!("call {call}")), fields);
            if down {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok(response)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn stale_while_revalidate_answers_at_once_and_refreshes() {
    let down = Arc::default();
    let stage = shaky(&down, &[("cache-control", "max-age=10")]);
    let table = engagement(|route| route.stale_while_revalidate(secs(30)));
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    send(&service, get("/engagements/1")).await;
    advance(secs(20)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    stage.called(2).await;
    idle().await;
    let fresh = send(&service, get("/engagements/1")).await;
    assert_eq!((fresh.body.as_str(), ttl(&fresh)), ("call 2", 10));
    advance(secs(41)).await;
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        "call 3",
        "beyond the window"
    );
}

/// Every request that had waited for the failing call made one of its own; and on two tiers the
/// entry that came from the store anew knew nothing of the failure.
#[tokio::test(start_paused = true)]
async fn a_failing_origin_is_left_in_peace_while_something_stale_serves() {
    let down = Arc::new(AtomicBool::new(false));
    let stage = shaky(&down, &[("cache-control", "max-age=10")]);
    let table = engagement(|route| route.stale_if_error(mins(10)));
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    send(&service, get("/engagements/1")).await;
    advance(secs(20)).await;
    down.store(true, Ordering::SeqCst);
    let crowd = join_all((0..100).map(|_| send(&service, get("/engagements/1")))).await;
    for seen in crowd {
        assert_eq!((seen.status, seen.body.as_str()), (200, "call 1"));
    }
    assert_eq!(stage.calls(), 2);
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    assert_eq!(stage.calls(), 2);
    advance(Duration::from_millis(1100)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    assert_eq!(stage.calls(), 3);
    down.store(false, Ordering::SeqCst);
    advance(Duration::from_millis(1100)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 4");
    down.store(true, Ordering::SeqCst);
    advance(mins(11)).await;
    assert_eq!(
        send(&service, get("/engagements/1")).await.status,
        503,
        "beyond the window"
    );
}

#[tokio::test(start_paused = true)]
async fn must_revalidate_forbids_anything_stale() {
    let down = Arc::new(AtomicBool::new(false));
    let stage = shaky(&down, &[("cache-control", "max-age=10, must-revalidate")]);
    let table = engagement(|route| {
        route
            .stale_if_error(mins(10))
            .stale_while_revalidate(mins(10))
    });
    let service = stage.cached(&Keep::new(table).expect("a valid table"));
    send(&service, get("/engagements/1")).await;
    advance(secs(20)).await;
    down.store(true, Ordering::SeqCst);
    assert_eq!(send(&service, get("/engagements/1")).await.status, 503);
}

/// It came to the origin with no content, and the answer to that was stored for its key.
#[tokio::test(start_paused = true)]
async fn a_request_that_is_sent_again_brings_its_content() {
    let stage = Stage::new(|request, call| async move {
        let content = request.body().clone();
        let validating = request.headers().contains_key("if-none-match");
        let etag = format!("\"{call}\"");
        let mut response = answer(
            full(content),
            &[("cache-control", "max-age=10"), ("etag", &etag)],
        );
        if validating {
            // Of another representation than the one that is stored.
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        Ok(response)
    });
    let route = Route::new("/search")
        .key("search:{#body}")
        .scope(Scope::Public);
    let route = route.safe_methods(["POST"]);
    let service = stage.cached(&Keep::new(Table::new().route(route)).expect("a valid table"));
    let search = || {
        let request = Request::builder().method("POST").uri("/search");
        request.body(Full::from("what?")).expect("a request")
    };
    assert_eq!(send(&service, search()).await.body, "what?");
    assert_eq!(send(&service, search()).await.body, "what?");
    assert_eq!(stage.calls(), 1);
    advance(secs(11)).await;
    let again = send(&service, search()).await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (200, "what?"),
        "{again:?}"
    );
    assert_eq!(stage.calls(), 3);
}
