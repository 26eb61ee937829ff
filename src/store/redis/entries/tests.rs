//! Entries and application values on real servers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::RedisEntries;
use crate::{
    clock::Clock,
    store::{
        contracts::entries::suite::{Tested, run},
        redis::{Config, RedisClient},
    },
    support::{RedisCluster, RedisServer},
};

async fn tested(url: &str, namespace: &str) -> Tested {
    let config = Config {
        // Long enough for a busy machine.
        deadline: Duration::from_secs(5),
        ..Config::default()
    };
    let client = RedisClient::connect(url, config).await.expect("connects");
    let clock = Arc::new(Clock::boot());
    let store = RedisEntries::new(client, namespace, Arc::clone(&clock), Arc::default());
    Tested {
        store: Arc::new(store),
        clock,
    }
}

#[tokio::test]
async fn redis() {
    let server = RedisServer::start();
    run(&tested(&server.url(), "").await).await;
}

#[tokio::test]
async fn redis_with_a_namespace_full_of_wildcards() {
    let server = RedisServer::start();
    run(&tested(&server.url(), r"a*[b]?\:").await).await;
}

#[tokio::test]
async fn cluster() {
    let cluster = RedisCluster::start();
    run(&tested(&cluster.url(), "").await).await;
}

/// Every miss waited ten seconds for such a lock.
#[tokio::test]
async fn a_lock_that_outlasts_every_lease_is_taken_over() {
    let server = RedisServer::start();
    let Tested { store, .. } = tested(&server.url(), "").await;
    let lease = Duration::from_secs(4);
    let planted: [&[&str]; 3] = [
        &["SET", "~lock:k", "1"],
        &["SET", "~lock:k", "1", "PX", "3600000"],
        &["RPUSH", "~lock:k", "1"],
    ];
    for plant in planted {
        server.command(plant);
        let lock = |token| store.try_lock("k", token, lease);
        assert!(lock(7).await.expect("replies"), "{plant:?}");
        assert!(!lock(8).await.expect("replies"), "{plant:?}");
        let left = server.command(&["PTTL", "~lock:k"]).text();
        assert!((1..=4000).contains(&left.parse().expect("a number")));
        assert!(store.unlock("k", 7).await.expect("replies"));
    }
}

#[tokio::test]
async fn namespaces_are_separate() {
    let server = RedisServer::start();
    let one = tested(&server.url(), "one:").await;
    let other = tested(&server.url(), "o*:").await;
    one.put("k", 1).await;
    other.put("k", 2).await;
    assert_eq!(other.store.remove_matching("*").await.expect("removed"), 1);
    assert_eq!(one.n("k").await, Some(1));
    assert_eq!(server.command(&["EXISTS", "one:k", "o*:k"]).text(), "1");
}

/// Without a namespace, `*` matches the keys of all programs.
#[tokio::test]
async fn patterns_leave_values_of_other_programs() {
    let server = RedisServer::start();
    let on = tested(&server.url(), "").await;
    on.put("k", 1).await;
    server.command(&["SET", "text", "\u{f5}TKE is not the whole magic"]);
    server.command(&["RPUSH", "list", "1"]);
    server.command(&["ZADD", "set", "1", "1"]);
    assert_eq!(on.store.remove_matching("*").await.expect("removed"), 1);
    assert_eq!(server.command(&["DBSIZE"]).text(), "3");
    assert_eq!(
        on.store.remove_plain_matching("*").await.expect("removed"),
        1
    );
    assert_eq!(server.command(&["DBSIZE"]).text(), "2");
}

#[tokio::test]
async fn plain_values_are_stored_as_bare_json() {
    let server = RedisServer::start();
    let on = tested(&server.url(), "").await;
    let json = Bytes::from_static(b"{\"a\":[1,2]}");
    let minute = Duration::from_secs(60);
    on.store
        .put_plain("config:a", &json, minute)
        .await
        .expect("put");
    assert_eq!(server.command(&["GET", "config:a"]).text(), "{\"a\":[1,2]}");
    let left: u64 = server
        .command(&["PTTL", "config:a"])
        .text()
        .parse()
        .expect("ms");
    assert!((1..=60_000).contains(&left));
    server.command(&["SET", "config:b", "true"]);
    let read = on.store.get_plain("config:b").await.expect("read");
    assert_eq!(read.as_deref(), Some(&b"true"[..]));
}
