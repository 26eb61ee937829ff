//! Several keeps over one Redis.

use std::{future::IntoFuture, time::Duration};

use futures_util::FutureExt;
use tower::{Layer, ServiceExt};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Key, Route, Scope, Table,
    keep::{Invalidation, Invalidations},
};

use super::declared_write;
use super::stack::{Stack, is_hit, stack};
use crate::{
    common::{
        client::{get, put, send},
        keeps::redis_keep,
        origin::{Gate, Origin},
        subscriber::subscribe,
    },
    support::{RedisServer, until},
};

fn table() -> Table {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    Table::new()
        .value(tower_keep::table::ValueSettings::new("config:*").plain(true))
        .route(public("/engagements", "engagements"))
        .route(
            public("/engagements/{id}", "engagement:{id}")
                .tags(["org:7"])
                .invalidates(["engagements", "engagement:{id}:*"]),
        )
}

async fn keep(server: &RedisServer, table: Table) -> Keep {
    redis_keep(server.url(), table).await
}

/// Two keeps, which Redis takes for two processes, in front of one handler.
async fn two_stacks(server: &RedisServer) -> ([Keep; 2], [Stack; 2], Origin) {
    let keeps = [keep(server, table()).await, keep(server, table()).await];
    let origin = Origin::with_fields(&[]);
    let stacks = [stack(&keeps[0], &origin), stack(&keeps[1], &origin)];
    (keeps, stacks, origin)
}

/// Waits until both have a hit.
async fn warm(stacks: &[Stack; 2], path: &str) {
    for stack in stacks {
        until("a hit", || async {
            is_hit(stack, get(path)).await.then_some(())
        })
        .await;
    }
}

/// Waits until this process no longer serves `old`.
async fn until_new(stack: &Stack, path: &str, old: &str) {
    until("the invalidation", || async {
        let seen = send(stack, get(path)).await;
        (seen.body != old).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_one_process_invalidates_in_the_other() {
    let server = RedisServer::start();
    let (_keeps, [here, there], origin) = two_stacks(&server).await;
    let stacks = [here, there];
    for path in ["/engagements", "/engagements/1"] {
        for round in 0..20 {
            warm(&stacks, path).await;
            let old = send(&stacks[1], get(path)).await.body;
            assert_eq!(send(&stacks[0], get(path)).await.body, old);
            let calls = origin.calls();
            send(&stacks[0], put("/engagements/1")).await;
            // (a): no read that begins later at that process returns an older version.
            let seen = send(&stacks[0], get(path)).await;
            assert_ne!(seen.body, old, "{path} {round}");
            assert!(origin.calls() > calls + 1);
            // (c): a process that has applied the invalidation never serves the old version again.
            until_new(&stacks[1], path, &old).await;
            assert_ne!(send(&stacks[1], get(path)).await.body, old);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_removed_from_redis_before_the_response() {
    let server = RedisServer::start();
    let (_keeps, stacks, _origin) = two_stacks(&server).await;
    warm(&stacks, "/engagements/1").await;
    warm(&stacks, "/engagements/1?page=2").await;
    let there = |key: &str| server.command(&["EXISTS", key]).text() == "1";
    assert!(there("engagement:1") && there("engagement:1?page=2"));
    send(&stacks[0], put("/engagements/1")).await;
    assert!(!there("engagement:1"));
    assert!(
        there("engagement:1?page=2"),
        "a variation is found unusable when it is looked up"
    );
    assert!(!is_hit(&stacks[0], get("/engagements/1?page=2")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tag_version_and_soft_invalidations_reach_every_process() {
    let server = RedisServer::start();
    let (keeps, stacks, _origin) = two_stacks(&server).await;
    let path = "/engagements/1";
    for round in ["tag", "version", "soft"] {
        warm(&stacks, path).await;
        let old = send(&stacks[1], get(path)).await.body;
        match round {
            "tag" => keeps[0].invalidate([Invalidation::tag("org:7")]).await,
            "version" => keeps[0].bump_version("engagement").await,
            _ => {
                keeps[0]
                    .invalidate([Invalidation::entity("engagement")])
                    .soft()
                    .await
            }
        }
        .expect("invalidated");
        assert_ne!(send(&stacks[0], get(path)).await.body, old, "{round}");
        until_new(&stacks[1], path, &old).await;
    }
    // A process that starts later has the same version.
    let late = keep(&server, table()).await;
    let late = stack(&late, &Origin::with_fields(&[]));
    assert!(is_hit(&late, get(path)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_can_invalidate_on_the_channel() {
    // The guide's `publish_invalidation` and `cache_invalidation_listener`.
    let server = RedisServer::start();
    let (keeps, stacks, _origin) = two_stacks(&server).await;
    warm(&stacks, "/engagements/42").await;
    let old = send(&stacks[0], get("/engagements/42")).await.body;
    server.command(&["PUBLISH", "cache:invalidate", "engagement:42*"]);
    for stack in &stacks {
        until_new(stack, "/engagements/42", &old).await;
    }

    let lines = subscribe(&server, "cache:invalidate");
    let pattern = Invalidation::pattern("engagement:42:*").expect("a pattern");
    keeps[0]
        .invalidate([pattern, Invalidation::tag("org:7")])
        .await
        .expect("invalidated");
    keeps[0]
        .invalidate([Invalidation::key(&Key::new("agent").id(1))])
        .await
        .expect("invalidated");
    let heard: Vec<String> = lines
        .filter(|line| line.contains(':') && !line.starts_with(':') && line != "cache:invalidate")
        .take(2)
        .collect();
    assert_eq!(
        heard,
        ["engagement:42:*", "agent:1"],
        "tags are not published"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invalidation_events_of_every_process_are_received() {
    let server = RedisServer::start();
    let (keeps, _stacks, _origin) = two_stacks(&server).await;
    let mut heard = keeps[1].invalidations();
    let key = Key::new("engagement").id(42);
    keeps[0]
        .invalidate([Invalidation::key(&key)])
        .await
        .expect("invalidated");
    wait_for_invalidation(&mut heard, &key).await;
    server.command(&["PUBLISH", "cache:invalidate", "agent:*"]);
    let agent = Key::new("agent").id(1);
    wait_for_invalidation(&mut heard, &agent).await;
}

async fn wait_for_invalidation(heard: &mut Invalidations, key: &Key) {
    while !heard.next().await.expect("the keep is there").names(key) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_by_pattern_removes_what_is_in_redis() {
    let server = RedisServer::start();
    let (keeps, stacks, _origin) = two_stacks(&server).await;
    for path in [
        "/engagements/42",
        "/engagements/42?page=2",
        "/engagements/43",
    ] {
        warm(&stacks, path).await;
    }
    let value = Key::new("engagement").id(42).sub("tasks");
    keeps[0].set(&value, &7).await.expect("a value");
    keeps[0]
        .set(&Key::new("config").sub("a"), &1)
        .await
        .expect("a plain value");
    for (key, value) in [("foreign:1", "x"), ("engagement:42:foreign", "x")] {
        server.command(&["SET", key, value]);
    }
    let there = |key: &str| server.command(&["EXISTS", key]).text() == "1";
    assert!(there("engagement:42:tasks") && there("config:a"));

    assert_eq!(
        keeps[0]
            .delete_pattern("engagement:42")
            .await
            .expect("deleted"),
        2
    );
    assert!(!there("engagement:42?page=2") && there("engagement:42:tasks"));
    assert_eq!(
        keeps[0]
            .delete_pattern("engagement:42:*")
            .await
            .expect("deleted"),
        1
    );
    assert!(!there("engagement:42:tasks") && there("engagement:43"));
    assert!(
        there("engagement:42:foreign"),
        "another program's, and no plain value"
    );
    assert_eq!(keeps[1].get::<u32>(&value).await.expect("a number"), None);

    assert_eq!(keeps[0].delete_pattern("*").await.expect("deleted"), 2);
    assert!(!there("engagement:43") && !there("config:a"));
    assert!(there("foreign:1"), "not ours to remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sweeps_of_one_pattern_run_as_one() {
    let server = RedisServer::start();
    let (keeps, _stacks, _origin) = two_stacks(&server).await;
    for n in 0..5000 {
        server.command(&["SET", &format!("filler:{n}"), "x"]);
    }
    keeps[0]
        .set(&Key::new("engagement").id(1), &1)
        .await
        .expect("a value");
    let sweep = || keeps[0].delete_pattern("engagement:*");
    let before = server.calls("scan");
    let alone = sweep().await.expect("deleted");
    let scans = server.calls("scan") - before;
    assert_eq!(alone, 1);
    let before = server.calls("scan");
    let all = futures_util::future::join_all((0..8).map(|_| sweep())).await;
    assert!(all.iter().all(|count| matches!(count, Ok(0))), "{all:?}");
    let joined = server.calls("scan") - before;
    assert!(
        joined <= 3 * scans,
        "{joined} scans for eight, {scans} for one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_write_whose_process_dies_is_invalidated() {
    let server = RedisServer::start();
    let gate = Gate::closed();
    let origin = declared_write::slow(&gate, 200);
    let other = keep(&server, declared_write::table()).await;
    let other = stack(&other, &origin);
    warm(&[other.clone(), other.clone()], "/engagements/1").await;
    let old = send(&other, get("/engagements/1")).await.body;

    let process = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let process = process.expect("a runtime");
    let (url, inner) = (server.url(), origin.clone());
    process.spawn(async move {
        let keep = redis_keep(url, declared_write::table()).await;
        let layer = InvalidateLayer::new(&keep).longest_write(Duration::from_secs(2));
        let service = (layer, CacheLayer::new(&keep)).layer(inner);
        service.oneshot(put("/engagements/1")).await.map(drop)
    });
    gate.arrival().await;
    until_new(&other, "/engagements/1", &old).await;
    assert!(
        !is_stored(&other).await,
        "declared, it is not cached anywhere"
    );
    // The process dies after the commit and before the invalidation.
    process.shutdown_background();
    assert!(!is_stored(&other).await);
    until("the declaration to run out", || async {
        is_stored(&other).await.then_some(())
    })
    .await;
}

async fn is_stored(service: &Stack) -> bool {
    let first = send(service, get("/engagements/1")).await.body;
    send(service, get("/engagements/1")).await.body == first
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalidation_while_redis_is_unavailable_is_not_lost() {
    let server = RedisServer::start();
    let (keeps, stacks, _origin) = two_stacks(&server).await;
    warm(&stacks, "/engagements/1").await;
    let old = send(&stacks[1], get("/engagements/1")).await.body;
    server.stop_signal();
    let key = Invalidation::key(&Key::new("engagement").id(1));
    let undelivered = keeps[0].invalidate([key]).await;
    assert!(undelivered.expect_err("Redis is away").is_unavailable());
    assert_ne!(
        send(&stacks[0], get("/engagements/1")).await.body,
        old,
        "not used here at once"
    );
    server.continue_signal();
    until_new(&stacks[1], "/engagements/1", &old).await;
    assert_ne!(send(&stacks[0], get("/engagements/1")).await.body, old);
}

/// Regression: the hard invalidation was sent, the soft one was lost.
#[tokio::test]
async fn a_cancelled_call_cancels_neither_hard_nor_soft_invalidations() {
    let server = RedisServer::start();
    let keeps = [keep(&server, table()).await, keep(&server, table()).await];
    let mut heard = keeps[1].invalidations();
    let both = [
        Invalidation::entity("engagement").soft(),
        Invalidation::tag("org:7"),
    ];
    let mut left = keeps[0].invalidate(both).into_future();
    assert!(
        left.as_mut().now_or_never().is_none(),
        "Redis was not asked"
    );
    drop(left);
    let mut softness = Vec::new();
    while softness.len() < 2 {
        let told = tokio::time::timeout(Duration::from_secs(20), heard.next()).await;
        softness.push(told.expect("in time").expect("an invalidation").is_soft());
    }
    softness.sort_unstable();
    assert_eq!(softness, [false, true]);
}

/// Regression: a server that shut down in an outage lost invalidations that were not yet sent.
#[tokio::test]
async fn flush_waits_until_redis_has_every_invalidation() {
    let server = RedisServer::start();
    let keeps = [keep(&server, table()).await, keep(&server, table()).await];
    let mut heard = keeps[1].invalidations();
    server.stop_signal();
    let taken = keeps[0].invalidate([Invalidation::tag("org:7")]).await;
    let mut flush = Box::pin(keeps[0].flush());
    let early = flush.as_mut().now_or_never();
    server.continue_signal();
    taken.expect_err("Redis does not answer");
    assert!(early.is_none(), "the flush waits");
    let flushed = tokio::time::timeout(Duration::from_secs(20), flush).await;
    flushed.expect("Redis goes on");
    let told = tokio::time::timeout(Duration::from_secs(20), heard.next()).await;
    assert!(matches!(told, Ok(Some(_))), "{told:?}");
}
