//! Options of routes and layers, with a paused clock.

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
    CacheLayer, Key, Route, Scope, Table,
    table::{Local, RequestDirectives, mins, secs},
};

use crate::common::{
    client::{TestResponse, get, request, run_other_tasks, send},
    keeps::{engagements, engagements_with, new_keep},
    origin::{Origin, cached, full, ok},
};

type Fields = &'static [(&'static str, &'static str)];

fn counting(fields: Fields) -> Origin {
    Origin::from_fn(move |_, call| async move { Ok(ok(full(format!("call {call}")), fields)) })
}

fn is_hit(seen: &TestResponse) -> bool {
    seen.cache_status().contains("; hit")
}

fn ttl(seen: &TestResponse) -> u64 {
    let (_, ttl) = seen.cache_status().split_once("ttl=").expect("a ttl");
    ttl.parse().expect("a number")
}

#[tokio::test(start_paused = true)]
async fn a_response_is_fresh_for_the_ttl_and_not_longer() {
    let origin = counting(&[]);
    let service = cached(&new_keep(engagements()), &origin);
    send(&service, get("/engagements/1")).await;
    advance(secs(1799)).await;
    let last = send(&service, get("/engagements/1")).await;
    assert_eq!((last.body.as_str(), ttl(&last)), ("call 1", 1));
    assert_eq!(last.headers["age"], "1799");
    advance(secs(1)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test(start_paused = true)]
async fn no_ttl_exceeds_the_maximum() {
    let origin = counting(&[("cache-control", "max-age=31536000")]);
    let service = cached(
        &new_keep(
            engagements()
                .ttl("engagement", Duration::MAX)
                .max_ttl(secs(60)),
        ),
        &origin,
    );
    send(&service, get("/engagements/1")).await;
    assert_eq!(ttl(&send(&service, get("/engagements/1")).await), 60);
    advance(secs(60)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

#[tokio::test]
async fn jitter_applies_only_to_ttls_of_the_table() {
    for (fields, spread) in [
        (&[][..], true),
        (&[("cache-control", "max-age=1800")][..], false),
    ] {
        let origin = counting(fields);
        let service = cached(&new_keep(engagements().jitter(0.5)), &origin);
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
async fn a_condition_in_code_can_refuse_to_store() {
    let keep = new_keep(engagements());
    let origin = counting(&[("x-degraded", "yes")]);
    let layer = CacheLayer::new(&keep).store_if(|head| !head.headers.contains_key("x-degraded"));
    let service = layer.layer(origin.clone());
    let first = send(&service, get("/engagements/1")).await;
    assert!(first.cache_status().contains("condition"), "{first:?}");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

/// Regression: a write invalidated the key of its path, which was never used.
#[tokio::test]
async fn a_key_in_code_replaces_the_routes() {
    let keep = new_keep(engagements());
    let origin = counting(&[]);
    let layer = CacheLayer::new(&keep).key(|parts| {
        let tenant = parts.headers.get("x-tenant")?.to_str().ok()?;
        Some(Key::new("tenant").id(tenant))
    });
    let service = layer.layer(origin.clone());
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
async fn a_reloaded_table_applies_from_the_next_request_on() {
    let keep = new_keep(engagements());
    let origin = counting(&[]);
    let service = cached(&keep, &origin);
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
async fn tables_can_be_reloaded_under_load() {
    let keep = new_keep(engagements());
    let origin = counting(&[]);
    let service = cached(&keep, &origin);
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
async fn errors_are_stored_for_the_negative_ttl() {
    let origin = Origin::from_fn(|request, call| async move {
        let mut response = ok(full(format!("call {call}")), &[]);
        let status = request.uri().path().rsplit('/').next().expect("a segment");
        *response.status_mut() = status.parse().expect("a status");
        Ok(response)
    });
    let table = engagements_with(|route| route.negative(StatusCode::NOT_FOUND, secs(10)));
    let service = cached(&new_keep(table), &origin);
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
async fn override_outranks_freshness_fields_but_not_no_store_or_private() {
    for (directives, stored) in [
        ("max-age=1", true),
        ("no-cache", true),
        ("private", false),
        ("no-store", false),
    ] {
        let fields = [("cache-control", directives)];
        let origin =
            Origin::from_fn(
                move |_, call| async move { Ok(ok(full(format!("call {call}")), &fields)) },
            );
        let table = engagements_with(|route| route.override_freshness(true));
        let service = cached(&new_keep(table), &origin);
        send(&service, get("/engagements/1")).await;
        let second = send(&service, get("/engagements/1")).await;
        assert_eq!(is_hit(&second), stored, "{directives}: {second:?}");
        if stored {
            assert!(ttl(&second) > 1700, "{second:?}");
        }
    }
}

#[tokio::test]
async fn stripped_fields_are_neither_stored_nor_replayed() {
    let origin = counting(&[
        ("set-cookie", "session=1"),
        ("x-trace", "7"),
        ("ratelimit", "\"a\";r=1"),
    ]);
    let table = engagements_with(|route| route.strip(["set-cookie", "x-trace"]));
    let service = cached(&new_keep(table), &origin);
    let first = send(&service, get("/engagements/1")).await;
    assert_eq!(first.headers["set-cookie"], "session=1");
    let hit = send(&service, get("/engagements/1")).await;
    assert_eq!(hit.body, "call 1");
    for name in ["set-cookie", "x-trace", "ratelimit"] {
        assert!(!hit.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn only_keyed_query_parameters_are_part_of_the_key() {
    let only = engagements_with(|route| route.query(["page"]));
    let ignoring = engagements_with(|route| route.ignore_query(["utm_*"]));
    for (table, other) in [(only, "call 1"), (ignoring, "call 4")] {
        let origin = counting(&[]);
        let service = cached(&new_keep(table), &origin);
        let body = async |query: &str| {
            send(&service, get(&format!("/engagements/1?{query}")))
                .await
                .body
        };
        assert_eq!(body("page=1").await, "call 1");
        assert_eq!(body("page=2").await, "call 2");
        assert_eq!(body("utm_source=x&page=1").await, "call 1");
        assert_eq!(body("p%61ge=2&page=1").await, "call 3");
        assert_eq!(body("page=1&sort=up").await, other);
    }
}

#[tokio::test]
async fn a_route_with_hosts_matches_only_those() {
    let origin = counting(&[]);
    let table = engagements_with(|route| route.host(["api.example.com"]));
    let service = cached(&new_keep(table), &origin);
    let of = |host| request("GET", "/engagements/1", &[("host", host)]);
    assert_eq!(send(&service, of("api.example.com")).await.body, "call 1");
    assert_eq!(send(&service, of("API.example.com")).await.body, "call 1");
    for call in 2..=3 {
        let other = send(&service, of("evil.example.com")).await;
        assert_eq!(other.body, format!("call {call}"));
    }
}

#[tokio::test]
async fn a_new_version_makes_old_entries_unusable() {
    let keep = new_keep(engagements());
    let origin = counting(&[]);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/1")).await;
    keep.reload(&engagements().version("engagement", 2))
        .expect("a good table");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
    keep.reload(&engagements()).expect("a good table");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
}

#[tokio::test(start_paused = true)]
async fn request_directives_can_be_ignored() {
    let table = engagements_with(|route| route.request_directives(RequestDirectives::Ignore));
    for (table, ignored) in [(table, true), (engagements(), false)] {
        let origin = counting(&[]);
        let service = cached(&new_keep(table), &origin);
        send(&service, get("/engagements/1")).await;
        for directive in ["no-cache", "no-store", "max-age=0", "min-fresh=99999"] {
            advance(secs(1)).await;
            let calls = origin.calls();
            let fields = [("cache-control", directive), ("pragma", "no-cache")];
            send(&service, request("GET", "/engagements/1", &fields)).await;
            let spared = origin.calls() == calls;
            // RFC 9111 section 5.2.1.5: `no-store` does not forbid a stored response.
            assert_eq!(spared, ignored || directive == "no-store", "{directive}");
        }
        let fields = [("cache-control", "only-if-cached")];
        let only = send(&service, request("GET", "/engagements/2", &fields)).await;
        assert_eq!(only.status, if ignored { 200 } else { 504 });
    }
}

/// Responds 200 at first, then 503 while `down`.
fn failing_while(down: &Arc<AtomicBool>, fields: Fields) -> Origin {
    let down = Arc::clone(down);
    Origin::from_fn(move |_, call| {
        let down = down.load(Ordering::SeqCst);
        async move {
            let mut response = ok(full(format!("call {call}")), fields);
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
    let origin = failing_while(&down, &[("cache-control", "max-age=10")]);
    let table = engagements_with(|route| route.stale_while_revalidate(secs(30)));
    let service = cached(&new_keep(table), &origin);
    send(&service, get("/engagements/1")).await;
    advance(secs(20)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    origin.called(2).await;
    run_other_tasks().await;
    let fresh = send(&service, get("/engagements/1")).await;
    assert_eq!((fresh.body.as_str(), ttl(&fresh)), ("call 2", 10));
    advance(secs(41)).await;
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        "call 3",
        "beyond the window"
    );
}

/// Regression: every follower of the failing call made its own call; and with two tiers, the entry that
/// was read again from the store had lost the record of the failure.
#[tokio::test(start_paused = true)]
async fn a_failing_origin_is_not_called_while_a_stale_response_serves() {
    let down = Arc::new(AtomicBool::new(false));
    let origin = failing_while(&down, &[("cache-control", "max-age=10")]);
    let table = engagements_with(|route| route.stale_if_error(mins(10)));
    let service = cached(&new_keep(table), &origin);
    send(&service, get("/engagements/1")).await;
    advance(secs(20)).await;
    down.store(true, Ordering::SeqCst);
    let crowd = join_all((0..100).map(|_| send(&service, get("/engagements/1")))).await;
    for seen in crowd {
        assert_eq!((seen.status, seen.body.as_str()), (200, "call 1"));
    }
    assert_eq!(origin.calls(), 2);
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    assert_eq!(origin.calls(), 2);
    advance(Duration::from_millis(1100)).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    assert_eq!(origin.calls(), 3);
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
async fn must_revalidate_forbids_stale_responses() {
    let down = Arc::new(AtomicBool::new(false));
    let origin = failing_while(&down, &[("cache-control", "max-age=10, must-revalidate")]);
    let table = engagements_with(|route| {
        route
            .stale_if_error(mins(10))
            .stale_while_revalidate(mins(10))
    });
    let service = cached(&new_keep(table), &origin);
    send(&service, get("/engagements/1")).await;
    advance(secs(20)).await;
    down.store(true, Ordering::SeqCst);
    assert_eq!(send(&service, get("/engagements/1")).await.status, 503);
}

/// Regression: the request reached the origin without content, and the response was stored.
#[tokio::test(start_paused = true)]
async fn a_replayed_request_has_its_content() {
    let origin = Origin::from_fn(|request, call| async move {
        let content = request.body().clone();
        let validating = request.headers().contains_key("if-none-match");
        let etag = format!("\"{call}\"");
        let mut response = ok(
            full(content),
            &[("cache-control", "max-age=10"), ("etag", &etag)],
        );
        if validating {
            // A validator of another representation.
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        Ok(response)
    });
    let route = Route::new("/search")
        .key("search:{#body}")
        .scope(Scope::Public);
    let route = route.safe_methods(["POST"]);
    let service = cached(&new_keep(Table::new().route(route)), &origin);
    let search = || {
        let request = Request::builder().method("POST").uri("/search");
        request.body(Full::from("what?")).expect("a request")
    };
    assert_eq!(send(&service, search()).await.body, "what?");
    assert_eq!(send(&service, search()).await.body, "what?");
    assert_eq!(origin.calls(), 1);
    advance(secs(11)).await;
    let again = send(&service, search()).await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (200, "what?"),
        "{again:?}"
    );
    assert_eq!(origin.calls(), 3);
}
