//! Freshness and collapsing on paths that no route names, and on routes without a key.

use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderValue, header::AUTHORIZATION};
use tokio::time::{Instant, sleep};
use tower::Layer;
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Route, Scope, Table,
    cache::Cache,
    table::{Unlisted, mins, secs},
};

use crate::common::{
    client::{advance, get, put, request, run_other_tasks, send},
    keeps::new_keep,
    log::Log,
    origin::{Gate, Origin, body_channel, cached, full, ok},
};

/// Last changed long ago, without any other statement about freshness.
const UNSTATED: &[(&str, &str)] = &[("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")];

async fn bodies(service: &Cache<Origin>, path: &str) -> (String, String) {
    let first = send(service, get(path)).await;
    let second = send(service, get(path)).await;
    (first.body, second.body)
}

/// With an empty table in front of a file server, yesterday's file was served for a day.
#[tokio::test(start_paused = true)]
async fn by_default_an_unlisted_path_has_only_the_freshness_that_it_states() {
    let origin = Origin::with_fields(UNSTATED);
    let service = cached(&Keep::default(), &origin);
    let (_, second) = bodies(&service, "/file").await;
    assert_eq!(second, "call 2");

    let table = Table::new().unlisted(Unlisted::Standard);
    let service = cached(&new_keep(table), &Origin::with_fields(UNSTATED));
    let (_, second) = bodies(&service, "/file").await;
    assert_eq!(second, "call 1", "heuristic freshness");

    let stated = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let service = cached(&Keep::default(), &stated);
    let (_, second) = bodies(&service, "/file").await;
    assert_eq!(second, "call 1");
    advance(61).await;
    assert_eq!(send(&service, get("/file")).await.body, "call 2");
}

/// Four took 1, 2, 2 and 2 s.
#[tokio::test(start_paused = true)]
async fn concurrent_uncacheable_gets_to_an_unlisted_path_do_not_wait_for_each_other() {
    let origin = Origin::from_fn(|_, _| async {
        sleep(Duration::from_secs(1)).await;
        Ok(ok(full("for one"), &[]))
    });
    let service = cached(&Keep::default(), &origin);
    for _ in 0..2 {
        let start = Instant::now();
        join_all((0..4).map(|_| send(&service, get("/slow")))).await;
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
    }
    assert_eq!(origin.calls(), 8);
}

/// The responses of the calls, in order; the last one repeats.
fn scripted(gate: &Gate, controls: &'static [&'static str]) -> Origin {
    Origin::gated(gate, |_, call| {
        let control = controls[call.min(controls.len()) - 1];
        Ok(ok(
            full(format!("call {call}")),
            &[("cache-control", control)],
        ))
    })
}

/// Sends four requests, and returns how many calls they made before the first response.
async fn calls_of_four(service: &Cache<Origin>, origin: &Origin, gate: &Gate) -> usize {
    let before = origin.calls();
    let four: Vec<_> = (0..4)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { send(&service, get("/a")).await })
        })
        .collect();
    origin.called(before + 1).await;
    run_other_tasks().await;
    let calls = origin.calls() - before;
    gate.open();
    for request in four {
        request.await.expect("no panic");
    }
    gate.reset();
    calls
}

#[tokio::test]
async fn requests_for_an_unlisted_path_collapse_once_a_storable_response_was_seen() {
    const STORABLE: &str = "max-age=60";
    let gate = Gate::closed();
    let origin = scripted(
        &gate,
        &[
            STORABLE, STORABLE, STORABLE, STORABLE, STORABLE, STORABLE, "no-store",
        ],
    );
    let keep = Keep::default();
    let service = cached(&keep, &origin);
    let invalidate = async || keep.delete_pattern("*").await.expect("no error");
    assert_eq!(
        calls_of_four(&service, &origin, &gate).await,
        4,
        "not seen yet"
    );
    for _ in 0..2 {
        invalidate().await;
        assert_eq!(calls_of_four(&service, &origin, &gate).await, 1);
    }
    invalidate().await;
    assert_eq!(calls_of_four(&service, &origin, &gate).await, 1);
    // The last one could not be stored.
    assert_eq!(calls_of_four(&service, &origin, &gate).await, 4);
}

/// Whoever waits for a response that must be validated before each use has waited in vain.
#[tokio::test]
async fn requests_for_an_unlisted_path_do_not_wait_for_what_each_must_validate() {
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, |_, _| {
        Ok(ok(
            full("a"),
            &[("cache-control", "no-cache"), ("etag", "\"1\"")],
        ))
    });
    let service = cached(&Keep::default(), &origin);
    for _ in 0..2 {
        assert_eq!(calls_of_four(&service, &origin, &gate).await, 4);
    }
}

#[tokio::test]
async fn requests_for_a_listed_path_collapse_from_the_first_one_on() {
    let gate = Gate::closed();
    let origin = scripted(&gate, &["max-age=60"]);
    let table = Table::new().route(Route::new("/a"));
    let service = cached(&new_keep(table), &origin);
    assert_eq!(calls_of_four(&service, &origin, &gate).await, 1);
}

fn with_ttl(keep: &Keep, origin: &Origin) -> Cache<Origin> {
    CacheLayer::new(keep).ttl(mins(5)).layer(origin.clone())
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_the_layer_keeps_every_get_that_may_be_shared() {
    let keep = new_keep(Table::new().jitter(0.0));
    let origin = Origin::new(|parts, call| {
        let fields: &[(&str, &str)] = match parts.uri.path() {
            "/own" => &[("cache-control", "max-age=10")],
            "/never" => &[("cache-control", "no-store")],
            "/private" => &[("cache-control", "private")],
            "/cookie" => &[("set-cookie", "a=b")],
            _ => &[],
        };
        let mut response = http::Response::new(format!("call {call}").into());
        for (name, value) in fields {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        response
    });
    let service = with_ttl(&keep, &origin);
    let calls = async |path: &str, seconds: u64| {
        let before = origin.calls();
        send(&service, get(path)).await;
        advance(seconds).await;
        send(&service, get(path)).await;
        origin.calls() - before
    };
    assert_eq!(calls("/a", 299).await, 1);
    assert_eq!(calls("/b", 301).await, 2);
    assert_eq!(
        calls("/own", 11).await,
        2,
        "its own lifetime takes precedence"
    );
    for path in ["/never", "/private", "/cookie"] {
        assert_eq!(calls(path, 0).await, 2, "{path}");
    }
    let alice = || {
        let mut request = get("/alice");
        let secret = HeaderValue::from_static("Bearer alice");
        request.headers_mut().insert(AUTHORIZATION, secret);
        request
    };
    let first = send(&service, alice()).await;
    assert_ne!(send(&service, alice()).await.body, first.body);
    assert_ne!(send(&service, get("/alice")).await.body, first.body);
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_the_layer_is_for_paths_that_no_route_names() {
    let table = Table::new()
        .jitter(0.0)
        .default_ttl(mins(1))
        .route(Route::new("/listed"))
        .route(Route::new("/keyed").key("keyed").scope(Scope::Public));
    let origin = Origin::with_fields(&[]);
    let service = with_ttl(&new_keep(table), &origin);
    for (path, seconds, calls) in [("/listed", 0, 2), ("/keyed", 61, 2), ("/unlisted", 61, 1)] {
        let before = origin.calls();
        send(&service, get(path)).await;
        advance(seconds).await;
        send(&service, get(path)).await;
        assert_eq!(origin.calls() - before, calls, "{path}");
    }
    let untouched = Table::new().unlisted(Unlisted::Pass);
    let service = with_ttl(&new_keep(untouched), &Origin::with_fields(&[]));
    let (_, second) = bodies(&service, "/a").await;
    assert_eq!(second, "call 2");
}

/// RFC 9110 section 9.3.3: a POST's response answers later GETs only if it states its freshness.
#[tokio::test]
async fn the_ttl_of_the_layer_is_not_for_the_response_to_a_post() {
    let origin = Origin::with_fields(&[("content-location", "/a")]);
    let service = with_ttl(&Keep::default(), &origin);
    send(&service, request("POST", "/a", &[])).await;
    assert_eq!(send(&service, get("/a")).await.body, "call 2");
}

#[tokio::test(start_paused = true)]
async fn a_route_without_a_key_has_its_own_ttl() {
    let route = |path: &str| Route::new(path).scope(Scope::Public);
    let table = Table::new()
        .jitter(0.0)
        .default_ttl(mins(1))
        .route(route("/own/{id}").ttl(secs(10)))
        .route(route("/none/{id}"));
    let origin = Origin::with_fields(&[]);
    let service = cached(&new_keep(table), &origin);
    let calls = async |path: &'static str, other: &'static str, seconds: u64| {
        let before = origin.calls();
        send(&service, get(path)).await;
        advance(seconds).await;
        send(&service, get(other)).await;
        origin.calls() - before
    };
    assert_eq!(calls("/own/1", "/own/1", 9).await, 1);
    assert_eq!(calls("/own/2", "/own/2", 11).await, 2);
    // The key is made of host, path and query.
    assert_eq!(calls("/own/3", "/own/4", 0).await, 2);
    assert_eq!(calls("/own/5", "/own/5?page=2", 0).await, 2);
    assert_eq!(calls("http://a/own/6", "http://b/own/6", 0).await, 2);
    assert_eq!(
        calls("/none/1", "/none/1", 0).await,
        2,
        "no TTL of the table"
    );
}

fn tagged() -> Table {
    let route = Route::new("/tagged/{id}")
        .key("tagged:{id}")
        .scope(Scope::Public)
        .tags(["org:{answer.org_id}"]);
    Table::new().host("*").route(route)
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Nothing said why such responses were not stored.
#[tokio::test]
async fn a_response_without_the_value_of_a_tag_is_reported() {
    let (log, _guard) = Log::start();
    let origin = Origin::new(|parts, _| {
        let body = match parts.uri.path() {
            "/tagged/1" => r#"{"org_id": 7}"#,
            _ => r#"{"organisation": 7}"#,
        };
        crate::common::origin::response(200, &[JSON], body)
    });
    let service = cached(&new_keep(tagged()), &origin);
    for (path, status) in [
        ("/tagged/1", "tower-keep; fwd=uri-miss; stored"),
        ("/tagged/2", "tower-keep; fwd=uri-miss; detail=tag"),
        ("/tagged/2", "tower-keep; fwd=uri-miss; detail=tag"),
        ("/tagged/3", "tower-keep; fwd=uri-miss; detail=tag"),
    ] {
        assert_eq!(
            send(&service, get(path)).await.cache_status(),
            status,
            "{path}"
        );
    }
    assert_eq!(log.count("because its tags need {answer.org_id}"), 1);
    assert_eq!(log.count("/tagged/{id}"), 1);
}

/// `Cache-Status` is sent before the content that decides whether the response is stored.
#[tokio::test]
async fn a_streamed_response_is_not_said_to_be_stored_before_its_tags_are_known() {
    let origin = Origin::from_fn(|_, _| async {
        let (sender, body) = body_channel();
        tokio::spawn(async move {
            run_other_tasks().await;
            sender.data(r#"{"org_id": 7}"#).await;
        });
        Ok(ok(body, &[JSON]))
    });
    let service = cached(&new_keep(tagged()), &origin);
    let first = send(&service, get("/tagged/1")).await;
    assert_eq!(first.cache_status(), "tower-keep; fwd=uri-miss");
    let second = send(&service, get("/tagged/1")).await;
    assert!(second.cache_status().contains("hit"), "{second:?}");
}

/// The log told the user to add the layer that was there.
#[tokio::test]
async fn layers_of_different_keeps_are_reported_as_such() {
    let (log, _guard) = Log::start();
    let table = || tagged().route(Route::new("/a").key("a").invalidates(["tagged:*"]));
    let (outer, inner) = (new_keep(table()), new_keep(table()));
    let service = InvalidateLayer::new(&outer).layer(cached(&inner, &Origin::with_fields(&[])));
    send(&service, put("/a")).await;
    assert_eq!(
        log.count("whose keep is not that of the InvalidateLayer above it"),
        1
    );
    assert_eq!(log.count("without an InvalidateLayer above it"), 0);
}

#[test]
fn a_ttl_without_effect_is_logged() {
    for (unlisted, ttl, logged) in [
        (Unlisted::Explicit, mins(5), None),
        (
            Unlisted::Explicit,
            Duration::ZERO,
            Some("a TTL of zero has no effect"),
        ),
        (
            Unlisted::Pass,
            mins(5),
            Some("has no effect with unlisted = "),
        ),
    ] {
        let keep = Keep::new(Table::new().unlisted(unlisted)).expect("a valid table");
        let (log, _guard) = Log::start();
        let _layer = CacheLayer::new(&keep).ttl(ttl);
        let count = log.count("CacheLayer::ttl");
        assert_eq!(count, usize::from(logged.is_some()), "{unlisted:?} {ttl:?}");
        assert!(logged.is_none_or(|text| log.count(text) == 1), "{ttl:?}");
    }
}
