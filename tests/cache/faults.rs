//! Failures of Redis, which clients of the server do not notice and which are counted.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::Response;
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower_keep::{
    Keep, RedisStore, Table,
    cache::Cache,
    table::{Local, Store},
};

use crate::{
    common::{
        client::{TestResponse, get, send},
        keeps::engagements,
        origin::{Origin, cached},
    },
    support::{RedisCluster, RedisServer, Reply, proxy::Proxy, resp, unreadable, until, wait_for},
};

/// A deadline that even a busy machine meets.
const PATIENT: Duration = Duration::from_secs(5);
/// A deadline that expires soon.
const SHORT: Duration = Duration::from_millis(100);

/// A cache without a local tier, and the metrics of its store.
struct MeteredCache {
    service: Cache<Origin>,
    origin: Origin,
    snapshotter: Snapshotter,
    counts: RefCell<BTreeMap<String, u64>>,
}

impl MeteredCache {
    async fn start(url: &str, deadline: Duration) -> Self {
        let recorder = DebuggingRecorder::new();
        // The runtime has only this thread.
        let _recording = metrics::set_default_local_recorder(&recorder);
        let store = RedisStore::connect(url).await.expect("no error");
        let keep = Keep::with_store(table(deadline), store).await;
        let origin = Origin::new(|parts, _| Response::new(Full::from(body_of(parts.uri.path()))));
        Self {
            service: cached(&keep.expect("a keep"), &origin),
            origin,
            snapshotter: recorder.snapshotter(),
            counts: RefCell::default(),
        }
    }

    /// The response, whatever happens to Redis.
    async fn read(&self, path: &str) -> TestResponse {
        let seen = send(&self.service, get(path)).await;
        assert_eq!(seen.status, 200);
        assert!(seen.body == body_of(path), "the response to {path}");
        seen
    }

    async fn hit(&self, path: &str) {
        until("a hit", || async {
            let seen = self.read(path).await;
            seen.cache_status().contains("; hit").then_some(())
        })
        .await;
    }

    /// Sends requests, each of which must be answered, until the store has counted this failure.
    async fn read_until_counted(&self, labels: &[&str]) {
        let before = self.counted(labels);
        until("a failure to be counted", || async {
            self.read("/engagements/1").await;
            (self.counted(labels) > before).then_some(())
        })
        .await;
    }

    /// The sum of the counters whose names and labels contain all of these.
    fn counted(&self, labels: &[&str]) -> u64 {
        let mut counts = self.counts.borrow_mut();
        // A snapshot resets the counters.
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            if let DebugValue::Counter(count) = value {
                *counts.entry(key.key().to_string()).or_default() += count;
            }
        }
        let of_store = counts.iter().filter(|(key, _)| key.contains("keep_store"));
        of_store
            .filter(|(key, _)| labels.iter().all(|label| key.contains(label)))
            .map(|(_, count)| count)
            .sum()
    }
}

fn table(deadline: Duration) -> Table {
    engagements()
        .local(Local::new().size(0))
        .store(Store::new().deadline(deadline))
}

/// One body is larger than a single read.
fn body_of(path: &str) -> String {
    let times = if path.ends_with("/1") { 10_000 } else { 1 };
    format!("the response to {path} ").repeat(times)
}

#[tokio::test]
async fn an_unreadable_entry_is_a_miss_and_is_replaced() {
    let server = RedisServer::start();
    let cache = MeteredCache::start(&server.url(), PATIENT).await;
    cache.hit("/engagements/1").await;
    let Reply::Bulk(whole) = server.command(&["GET", "engagement:1"]) else {
        panic!("it is stored");
    };
    for (kind, value) in unreadable(&whole, 100) {
        server.command(&[&b"SET"[..], b"engagement:1", &value]);
        becomes_a_hit_again(&cache, kind).await;
    }
    server.command(&["DEL", "engagement:1"]);
    server.command(&["RPUSH", "engagement:1", "a list"]);
    becomes_a_hit_again(&cache, "foreign").await;
}

async fn becomes_a_hit_again(cache: &MeteredCache, kind: &str) {
    let counted = || cache.counted(&["corrupt_total", kind]);
    let (before, calls) = (counted(), cache.origin.calls());
    cache.read("/engagements/1").await;
    assert!(counted() > before, "{kind}");
    assert_eq!(cache.origin.calls(), calls + 1, "{kind}");
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_redis_user_without_read_permission_gets_no_hits() {
    let server = RedisServer::builder()
        .user("user default on nopass ~* &* +@all")
        .user("user half on >pw ~* &* +@all -multi -get")
        .start();
    let cache = MeteredCache::start(&server.url_as("half", "pw"), PATIENT).await;
    cache.read_until_counted(&["get", "refused"]).await;
}

#[tokio::test]
async fn a_primary_that_became_a_replica_stores_nothing() {
    let (server, primary) = (RedisServer::start(), RedisServer::start());
    let cache = MeteredCache::start(&server.url(), PATIENT).await;
    cache.hit("/engagements/1").await;
    let port = primary.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]);
    cache.read_until_counted(&["refused"]).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_full_redis_stores_nothing() {
    let server = RedisServer::start();
    let cache = MeteredCache::start(&server.url(), PATIENT).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    cache.read_until_counted(&["refused"]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_redis_that_cannot_save_stores_nothing() {
    let server = RedisServer::builder()
        .config("save", "3600 1000000")
        .start();
    let cache = MeteredCache::start(&server.url(), PATIENT).await;
    // The dump cannot be renamed: its target is a directory that is not empty.
    std::fs::create_dir_all(server.dir().join("dump.rdb/full")).expect("ours");
    server.command(&["BGSAVE"]);
    let saved = |state: &str| {
        let info = server.command(&["INFO", "persistence"]).text();
        info.contains(&format!("rdb_last_bgsave_status:{state}"))
    };
    wait_for("the save to fail", || saved("err"));
    cache.read_until_counted(&["refused"]).await;
    std::fs::remove_dir_all(server.dir().join("dump.rdb")).expect("ours");
    server.command(&["BGSAVE"]);
    wait_for("the save", || saved("ok"));
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_loading_redis_counts_as_unavailable() {
    let server = RedisServer::start();
    let cache = MeteredCache::start(&server.url(), SHORT).await;
    server.command(&["DEBUG", "POPULATE", "3000"]);
    for (name, value) in [
        ("key-load-delay", "1000"),
        ("loading-process-events-interval-bytes", "1024"),
    ] {
        server.command(&["CONFIG", "SET", name, value]);
    }
    let port = server.port();
    let reload = tokio::task::spawn_blocking(move || resp::command(port, &["DEBUG", "RELOAD"]));
    cache.read_until_counted(&["skipped"]).await;
    reload.await.expect("ends").expect("reloads");
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_truncated_reply_is_a_miss() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await.expect("listens");
    let cache = MeteredCache::start(&proxy.url(), PATIENT).await;
    cache.hit("/engagements/1").await;
    proxy.cut_after(100_000);
    cache.read_until_counted(&["get", "unavailable"]).await;
    proxy.heal();
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn requests_are_served_while_redis_is_killed_and_after_it_restarts_empty() {
    let mut server = RedisServer::start();
    let cache = MeteredCache::start(&server.url(), SHORT).await;
    cache.hit("/engagements/1").await;
    server.kill();
    cache.read_until_counted(&["skipped"]).await;
    server.restart();
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_slow_redis_is_awaited_only_until_the_deadline() {
    let server = RedisServer::start();
    let cache = MeteredCache::start(&server.url(), SHORT).await;
    server.command(&["CLIENT", "PAUSE", "2000", "ALL"]);
    cache.read_until_counted(&["get", "timeout"]).await;
    cache.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_host_name_that_does_not_resolve_counts_as_unavailable() {
    let cache = MeteredCache::start("redis://redis.invalid:6379", SHORT).await;
    cache.read_until_counted(&["skipped"]).await;
}

#[tokio::test]
async fn a_moving_slot_and_a_failover_lose_no_response() {
    let mut cluster = RedisCluster::start();
    let cache = MeteredCache::start(&cluster.url(), Duration::from_secs(1)).await;
    cache.hit("/engagements/1").await;
    let key = "engagement:1";
    let from = cluster.owner(key);
    let to = (from + 1) % 3;
    cluster.begin_move(key, from, to);
    cache.read("/engagements/1").await;
    cluster.end_move(key, to);
    cache.hit("/engagements/1").await;
    cluster.node_mut(to).kill();
    cache.read_until_counted(&["errors"]).await;
    cache.read_until_counted(&["skipped"]).await;
}

/// Regression: a request that had waited in vain for the entry waited for the lock, too, and then for
/// the write.
#[tokio::test]
async fn a_stopped_redis_is_awaited_once_and_then_skipped() {
    let server = RedisServer::start();
    let cache = MeteredCache::start(&server.url(), SHORT).await;
    cache.hit("/engagements/1").await;
    // Until the entry has been stored and the lock released.
    until("the entry without its lock", || async {
        let exists = |key: &str| server.command(&["EXISTS", key]).text();
        (exists("engagement:1") == "1" && exists("~lock:engagement:1") == "0").then_some(())
    })
    .await;
    // No request waits to lock or to store.
    let others = || ["verb = lock", "verb = put"].map(|verb| cache.counted(&[verb, "timeout"]));
    let before = others();
    server.stop_signal();
    let thousand = || async {
        let paths: Vec<_> = (0..1000).map(|n| format!("/engagements/{n}")).collect();
        join_all(paths.iter().map(|path| cache.read(path))).await;
    };
    thousand().await;
    assert!(
        cache.counted(&["get", "timeout"]) >= 5,
        "commands were sent"
    );
    assert_eq!(others(), before, "no request waited a second time");

    let before = (
        cache.counted(&["timeout"]),
        cache.counted(&["skipped_total"]),
    );
    thousand().await;
    assert_eq!(cache.counted(&["timeout"]), before.0, "no command was sent");
    assert!(cache.counted(&["skipped_total"]) >= before.1 + 1000);

    server.continue_signal();
    let since = Instant::now();
    cache.hit("/engagements/1").await;
    let took = since.elapsed();
    // Two timeouts, with room for a busy machine.
    assert!(took < Duration::from_secs(6), "recovery took {took:?}");
}
