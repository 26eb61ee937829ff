//! Responses and entries that change while a follower waits.

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_keep::{Key, Route, Table, cache::Cache, keep::Invalidation};

use crate::common::{
    client::{
        TestResponse, advance, get, read_text, request, run_other_tasks, send, send_for_head,
    },
    keeps::{engagements, engagements_with, new_keep},
    origin::{Gate, Origin, body_channel, cached, full, ok},
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// Regression: one client with `no-store`, or with a cookie, kept all others from sharing a response
/// for ten seconds.
#[tokio::test]
async fn a_private_refusal_does_not_make_the_key_uncacheable_for_others() {
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, move |request, _| {
        let private = ("cache-control", "private");
        let fields = [private]
            .into_iter()
            .filter(|_| request.headers().contains_key("cookie"));
        Ok(ok(full("body"), &fields.collect::<Vec<_>>()))
    });
    for fields in [("cache-control", "no-store"), ("cookie", "session=1")] {
        let route = Route::new("/a/{id}").key("a:{id}");
        let service = cached(&new_keep(Table::new().route(route)), &origin);
        let before = origin.calls();
        gate.admit(1);
        send(&service, request("GET", "/a/1", &[fields])).await;
        let crowd: Vec<_> = (0..20)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(async move { send(&service, get("/a/1")).await })
            })
            .collect();
        origin.called(before + 2).await;
        run_other_tasks().await;
        let calls = origin.calls() - before;
        gate.admit(20);
        for one in crowd {
            one.await.expect("no panic");
        }
        assert_eq!(calls, 2, "{fields:?}");
    }
}

/// RFC 9111 sections 4 and 5.2.2.4: a follower may use a response only where a stored one could be
/// used.
#[tokio::test]
async fn followers_get_no_response_that_needs_validation() {
    for (fields, asked, shares) in [
        (&[FRESH][..], &[][..], true),
        (
            &[("cache-control", "no-cache"), ("etag", "\"1\"")],
            &[],
            false,
        ),
        (
            &[("cache-control", "max-age=0"), ("etag", "\"1\"")],
            &[],
            false,
        ),
        (&[("age", "61"), FRESH, ("etag", "\"1\"")], &[], false),
        (
            &[("age", "50"), FRESH],
            &[("cache-control", "max-age=60")],
            true,
        ),
        (
            &[("age", "50"), FRESH],
            &[("cache-control", "max-age=40")],
            false,
        ),
        (
            &[("age", "50"), FRESH],
            &[("cache-control", "min-fresh=20")],
            false,
        ),
    ] {
        let gate = Gate::closed();
        let origin = Origin::gated(&gate, move |_, call| {
            Ok(ok(full(format!("call {call}")), fields))
        });
        let service = cached(&new_keep(engagements()), &origin);
        let ask = |fields: &'static [(&'static str, &'static str)]| {
            let service = service.clone();
            tokio::spawn(
                async move { send(&service, request("GET", "/engagements/1", fields)).await },
            )
        };
        let leader = ask(&[]);
        origin.called(1).await;
        let follower = ask(asked);
        run_other_tasks().await;
        gate.open();
        assert_eq!(leader.await.expect("no panic").body, "call 1");
        let seen = follower.await.expect("no panic");
        assert_eq!(
            seen.body == "call 1",
            shares,
            "{fields:?} {asked:?}: {seen:?}"
        );
        if let (true, Some((_, age))) = (shares, fields.iter().find(|(name, _)| *name == "age")) {
            // Section 5.1: it has the age that the leader received.
            assert_eq!(seen.headers["age"], *age);
        }
    }
}

/// Regression: a body that takes longer than its freshness lifetime went to all later requests.
#[tokio::test(start_paused = true)]
async fn a_request_that_joins_a_body_gone_stale_is_fetched_again() {
    let (slow, body) = body_channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = Origin::from_fn(move |_, call| {
        let first = body.lock().expect("whole").take();
        async move {
            let body = first.unwrap_or_else(|| full(format!("call {call}")));
            Ok(ok(body, &[("cache-control", "max-age=1")]))
        }
    });
    let service = cached(&new_keep(engagements()), &origin);
    let first = send_for_head(&service, get("/engagements/1")).await;
    slow.data("call ").await;
    advance(5).await;
    let late = send(&service, get("/engagements/1"));
    let late = tokio::time::timeout(Duration::from_secs(5), late).await;
    assert_eq!(late.expect("it does not wait").body, "call 2");
    slow.data("1").await;
    drop(slow);
    assert_eq!(read_text(first.into_body()).await.expect("whole"), "call 1");
}

/// Regression: once a body was too large to be stored, all who shared it waited for the client of the
/// request that fetched it, for ever.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_does_not_stop_the_requests_that_share_its_body() {
    let (feed, body) = body_channel();
    let body = std::sync::Mutex::new(Some(body));
    let origin = Origin::from_fn(move |_, call| {
        let first = body.lock().expect("no panic").take();
        async move {
            Ok(ok(
                first.unwrap_or_else(|| full(format!("call {call}"))),
                &[],
            ))
        }
    });
    let table = engagements_with(|route| route.max_body(8));
    let service = cached(&new_keep(table), &origin);
    let _unread = send_for_head(&service, get("/engagements/1")).await;
    let follower = send_for_head(&service, get("/engagements/1")).await;
    assert_eq!(origin.calls(), 1);
    let reading = tokio::spawn(read_text(follower.into_body()));
    let feeding = tokio::spawn(async move {
        for _ in 0..10 {
            feed.data("chunk").await;
        }
    });
    let text = tokio::time::timeout(Duration::from_secs(60), reading).await;
    let text = text.expect("it does not hang").expect("no panic");
    assert_eq!(text.expect("whole"), "chunk".repeat(10));
    feeding.await.expect("no panic");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
}

/// Responses are stale at once and have the validator `"old"` until call 3.
fn changing(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::from_fn(move |request, call| {
        let gate = gate.clone();
        async move {
            if call > 1 && request.method() == http::Method::GET {
                gate.pass().await;
            }
            let knows = request.headers().contains_key("if-none-match");
            let fields = [
                ("cache-control", "max-age=1, stale-if-error=600"),
                ("etag", "\"1\""),
            ];
            let mut response = ok(full(format!("call {call}")), &fields);
            // The validators of this origin are too coarse: the content has changed.
            if knows {
                response = ok(full(""), &fields);
                *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            }
            if call == 2 || request.method() == http::Method::HEAD {
                response = ok(full("gone"), &[]);
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok(response)
        }
    })
}

/// Two requests find the entry stale: one validates it, the other follows.
async fn validate_and_follow(
    origin: &Origin,
    service: &Cache<Origin>,
) -> [JoinHandle<TestResponse>; 2] {
    send(service, get("/engagements/1")).await;
    advance(5).await;
    let ask = || {
        let service = service.clone();
        tokio::spawn(async move { send(&service, get("/engagements/1")).await })
    };
    let leader = ask();
    origin.called(2).await;
    let follower = ask();
    run_other_tasks().await;
    [leader, follower]
}

/// Regression: an entry that was looked up before an invalidation was made fresh by a 304 after it.
#[tokio::test(start_paused = true)]
async fn an_entry_invalidated_while_a_request_waited_is_not_validated() {
    let gate = Gate::closed();
    let (origin, keep) = (changing(&gate), new_keep(engagements()));
    let key = Key::new("engagement").id(1);
    let service = cached(&keep, &origin);
    let [leader, follower] = validate_and_follow(&origin, &service).await;
    keep.invalidate([Invalidation::key(&key)])
        .await
        .expect("in one process");
    gate.open();
    assert_eq!(leader.await.expect("no panic").status, 503);
    assert_eq!(follower.await.expect("no panic").body, "call 3");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

/// The same while the origin is not called because of an earlier error.
#[tokio::test(start_paused = true)]
async fn an_entry_invalidated_while_a_request_waited_replaces_no_error() {
    let gate = Gate::closed();
    let (origin, keep) = (changing(&gate), new_keep(engagements()));
    let key = Key::new("engagement").id(1);
    let service = cached(&keep, &origin);
    let [leader, follower] = validate_and_follow(&origin, &service).await;
    // The origin fails, and the stale entry is served.
    let failed = send(&service, request("HEAD", "/engagements/1", &[])).await;
    assert!(
        failed.cache_status().contains("stale-if-error"),
        "{failed:?}"
    );
    keep.invalidate([Invalidation::key(&key)])
        .await
        .expect("in one process");
    gate.open();
    assert_eq!(leader.await.expect("no panic").status, 503);
    assert_ne!(follower.await.expect("no panic").body, "call 1");
}
