//! What became of an answer, and of what is stored, while a request waited.

use std::time::Duration;

use tokio::task::JoinHandle;
use tower_keep::{Keep, Key, Route, Table, cache::Cache, keep::Invalidation};

use super::{
    kit::{Seen, after, get, request, send},
    stage::{Gate, Stage, answer, engagements, feed, full, head, idle, whole},
};

const FRESH: (&str, &str) = ("cache-control", "max-age=60");

/// One client with `no-store`, or with a cookie of its own, kept everybody else from sharing an
/// answer for ten seconds.
#[tokio::test]
async fn who_shares_nothing_keeps_nobody_else_from_sharing() {
    let gate = Gate::closed();
    let stage = Stage::gated(&gate, move |request, _| {
        let private = ("cache-control", "private");
        let fields = [private]
            .into_iter()
            .filter(|_| request.headers().contains_key("cookie"));
        Ok(answer(full("body"), &fields.collect::<Vec<_>>()))
    });
    for fields in [("cache-control", "no-store"), ("cookie", "session=1")] {
        let route = Route::new("/a/{id}").key("a:{id}");
        let service = stage.cached(&Keep::new(Table::new().route(route)).expect("a valid table"));
        let before = stage.calls();
        gate.admit(1);
        send(&service, request("GET", "/a/1", &[fields])).await;
        let crowd: Vec<_> = (0..20)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(async move { send(&service, get("/a/1")).await })
            })
            .collect();
        stage.called(before + 2).await;
        idle().await;
        let calls = stage.calls() - before;
        gate.admit(20);
        for one in crowd {
            one.await.expect("no panic");
        }
        assert_eq!(calls, 2, "{fields:?}");
    }
}

/// RFC 9111 sections 4 and 5.2.2.4: whoever waited for an answer may use it only as far as a stored
/// one could be used.
#[tokio::test]
async fn who_waits_gets_no_answer_that_must_be_validated_first() {
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
        let stage = Stage::gated(&gate, move |_, call| {
            Ok(answer(full(format!("call {call}")), fields))
        });
        let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
        let ask = |fields: &'static [(&'static str, &'static str)]| {
            let service = service.clone();
            tokio::spawn(
                async move { send(&service, request("GET", "/engagements/1", fields)).await },
            )
        };
        let leader = ask(&[]);
        stage.called(1).await;
        let follower = ask(asked);
        idle().await;
        gate.open();
        assert_eq!(leader.await.expect("no panic").body, "call 1");
        let seen = follower.await.expect("no panic");
        assert_eq!(
            seen.body == "call 1",
            shares,
            "{fields:?} {asked:?}: {seen:?}"
        );
        if let (true, Some((_, age))) = (shares, fields.iter().find(|(name, _)| *name == "age")) {
            // Section 5.1: it is as old as the leader was told.
            assert_eq!(seen.headers["age"], *age);
        }
    }
}

/// A body that takes longer than it is fresh went to whoever came in the meantime.
#[tokio::test(start_paused = true)]
async fn who_comes_late_to_a_slow_body_asks_anew() {
    let (slow, body) = feed();
    let body = std::sync::Mutex::new(Some(body));
    let stage = Stage::new(move |_, call| {
        let first = body.lock().expect("whole").take();
        async move {
            let body = first.unwrap_or_else(|| full(format!("call {call}")));
            Ok(answer(body, &[("cache-control", "max-age=1")]))
        }
    });
    let service = stage.cached(&Keep::new(engagements()).expect("a valid table"));
    let first = head(&service, get("/engagements/1")).await;
    slow.data("call ").await;
    after(5).await;
    let late = send(&service, get("/engagements/1"));
    let late = tokio::time::timeout(Duration::from_secs(5), late).await;
    assert_eq!(late.expect("it does not wait").body, "call 2");
    slow.data("1").await;
    drop(slow);
    assert_eq!(whole(first.into_body()).await.expect("whole"), "call 1");
}

/// Stale, to be validated by `"old"`, until call 3.
fn changing(gate: &Gate) -> Stage {
    let gate = gate.clone();
    Stage::new(move |request, call| {
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
            let mut response = answer(full(format!("call {call}")), &fields);
            // An origin whose validators are too coarse: the content has changed.
            if knows {
                response = answer(full(""), &fields);
                *response.status_mut() = http::StatusCode::NOT_MODIFIED;
            }
            if call == 2 || request.method() == http::Method::HEAD {
                response = answer(full("gone"), &[]);
                *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            }
            Ok(response)
        }
    })
}

/// Two that have found it stale: one asks, and the other waits for what it gets.
async fn two_wait(stage: &Stage, service: &Cache<Stage>) -> [JoinHandle<Seen>; 2] {
    send(service, get("/engagements/1")).await;
    after(5).await;
    let ask = || {
        let service = service.clone();
        tokio::spawn(async move { send(&service, get("/engagements/1")).await })
    };
    let leader = ask();
    stage.called(2).await;
    let follower = ask();
    idle().await;
    [leader, follower]
}

/// Looked up before an invalidation and used after it: a 304 made the old answer a new one.
#[tokio::test(start_paused = true)]
async fn what_was_invalidated_while_a_request_waited_is_not_validated() {
    let gate = Gate::closed();
    let (stage, keep) = (
        changing(&gate),
        Keep::new(engagements()).expect("a valid table"),
    );
    let key = Key::new("engagement").id(1);
    let service = stage.cached(&keep);
    let [leader, follower] = two_wait(&stage, &service).await;
    keep.invalidate([Invalidation::key(&key)])
        .await
        .expect("in one process");
    gate.open();
    assert_eq!(leader.await.expect("no panic").status, 503);
    assert_eq!(follower.await.expect("no panic").body, "call 3");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

/// While the origin is left in peace after an error, too.
#[tokio::test(start_paused = true)]
async fn what_was_invalidated_while_a_request_waited_answers_for_no_error() {
    let gate = Gate::closed();
    let (stage, keep) = (
        changing(&gate),
        Keep::new(engagements()).expect("a valid table"),
    );
    let key = Key::new("engagement").id(1);
    let service = stage.cached(&keep);
    let [leader, follower] = two_wait(&stage, &service).await;
    // It fails, and what is stale answers.
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
