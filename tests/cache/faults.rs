//! Trouble with Redis, as a client of the server sees it: not at all. It is counted.

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

use super::{
    kit::{Origin, Seen, cached, get, send},
    stage::engagements,
};
use crate::support::{
    RedisCluster, RedisServer, Reply, proxy::Proxy, resp, unreadable, until, wait_for,
};

/// A deadline that a busy machine keeps: what is tested is what happens.
const PATIENT: Duration = Duration::from_secs(5);
/// One that is not kept, without the test taking long.
const SHORT: Duration = Duration::from_millis(100);

/// A cache without a local tier, and what it counts of its store.
struct Stand {
    service: Cache<Origin>,
    origin: Origin,
    snapshotter: Snapshotter,
    counts: RefCell<BTreeMap<String, u64>>,
}

impl Stand {
    async fn start(url: &str, deadline: Duration) -> Self {
        let recorder = DebuggingRecorder::new();
        // The runtime has this one thread only.
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

    /// Whatever happens to Redis, this is the answer.
    async fn fine(&self, path: &str) -> Seen {
        let seen = send(&self.service, get(path)).await;
        assert_eq!(seen.status, 200);
        assert!(seen.body == body_of(path), "the answer to {path}");
        seen
    }

    async fn hit(&self, path: &str) {
        until("a hit", || async {
            let seen = self.fine(path).await;
            seen.cache_status().contains("; hit").then_some(())
        })
        .await;
    }

    /// Sends requests, every one of which is answered, until the store has counted a failure.
    async fn fine_until_counted(&self, labels: &[&str]) {
        let before = self.counted(labels);
        until("a failure to be counted", || async {
            self.fine("/engagements/1").await;
            (self.counted(labels) > before).then_some(())
        })
        .await;
    }

    /// What the store has counted so far under names and labels that contain all of these.
    fn counted(&self, labels: &[&str]) -> u64 {
        let mut counts = self.counts.borrow_mut();
        // A look takes what it sees.
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

/// For one of them more than fits into one read.
fn body_of(path: &str) -> String {
    let times = if path.ends_with("/1") { 10_000 } else { 1 };
    format!("the answer to {path} ").repeat(times)
}

#[tokio::test]
async fn what_cannot_be_read_is_a_miss_and_is_replaced() {
    let server = RedisServer::start();
    let stand = Stand::start(&server.url(), PATIENT).await;
    stand.hit("/engagements/1").await;
    let Reply::Bulk(whole) = server.command(&["GET", "engagement:1"]) else {
        panic!("it is stored");
    };
    for (kind, value) in unreadable(&whole, 100) {
        server.command(&[&b"SET"[..], b"engagement:1", &value]);
        becomes_a_hit_again(&stand, kind).await;
    }
    server.command(&["DEL", "engagement:1"]);
    server.command(&["RPUSH", "engagement:1", "a list"]);
    becomes_a_hit_again(&stand, "foreign").await;
}

async fn becomes_a_hit_again(stand: &Stand, kind: &str) {
    let counted = || stand.counted(&["corrupt_total", kind]);
    let (before, calls) = (counted(), stand.origin.calls());
    stand.fine("/engagements/1").await;
    assert!(counted() > before, "{kind}");
    assert_eq!(stand.origin.calls(), calls + 1, "{kind}");
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_user_who_may_not_read_hits_nothing() {
    let server = RedisServer::builder()
        .user("user default on nopass ~* &* +@all")
        .user("user half on >pw ~* &* +@all -multi -get")
        .start();
    let stand = Stand::start(&server.url_as("half", "pw"), PATIENT).await;
    stand.fine_until_counted(&["get", "refused"]).await;
}

#[tokio::test]
async fn a_primary_that_became_a_replica_takes_nothing() {
    let (server, primary) = (RedisServer::start(), RedisServer::start());
    let stand = Stand::start(&server.url(), PATIENT).await;
    stand.hit("/engagements/1").await;
    let port = primary.port().to_string();
    server.command(&["REPLICAOF", "127.0.0.1", &port]);
    stand.fine_until_counted(&["refused"]).await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_full_redis_takes_nothing() {
    let server = RedisServer::start();
    let stand = Stand::start(&server.url(), PATIENT).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    stand.fine_until_counted(&["refused"]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_redis_that_cannot_save_takes_nothing() {
    let server = RedisServer::builder()
        .config("save", "3600 1000000")
        .start();
    let stand = Stand::start(&server.url(), PATIENT).await;
    // What the dump would be renamed to is a directory with something in it.
    std::fs::create_dir_all(server.dir().join("dump.rdb/full")).expect("ours");
    server.command(&["BGSAVE"]);
    let saved = |state: &str| {
        let info = server.command(&["INFO", "persistence"]).text();
        info.contains(&format!("rdb_last_bgsave_status:{state}"))
    };
    wait_for("the save to fail", || saved("err"));
    stand.fine_until_counted(&["refused"]).await;
    std::fs::remove_dir_all(server.dir().join("dump.rdb")).expect("ours");
    server.command(&["BGSAVE"]);
    wait_for("the save", || saved("ok"));
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_loading_redis_is_gone_without() {
    let server = RedisServer::start();
    let stand = Stand::start(&server.url(), SHORT).await;
    server.command(&["DEBUG", "POPULATE", "3000"]);
    for (name, value) in [
        ("key-load-delay", "1000"),
        ("loading-process-events-interval-bytes", "1024"),
    ] {
        server.command(&["CONFIG", "SET", name, value]);
    }
    let port = server.port();
    let reload = tokio::task::spawn_blocking(move || resp::command(port, &["DEBUG", "RELOAD"]));
    stand.fine_until_counted(&["skipped"]).await;
    reload.await.expect("ends").expect("reloads");
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_reply_cut_in_the_middle_is_no_answer() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await.expect("listens");
    let stand = Stand::start(&proxy.url(), PATIENT).await;
    stand.hit("/engagements/1").await;
    proxy.cut_after(100_000);
    stand.fine_until_counted(&["get", "unavailable"]).await;
    proxy.heal();
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_killed_redis_is_gone_without_until_it_is_back_empty() {
    let mut server = RedisServer::start();
    let stand = Stand::start(&server.url(), SHORT).await;
    stand.hit("/engagements/1").await;
    server.kill();
    stand.fine_until_counted(&["skipped"]).await;
    server.restart();
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_slow_redis_is_not_waited_for() {
    let server = RedisServer::start();
    let stand = Stand::start(&server.url(), SHORT).await;
    server.command(&["CLIENT", "PAUSE", "2000", "ALL"]);
    stand.fine_until_counted(&["get", "timeout"]).await;
    stand.hit("/engagements/1").await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_gone_without() {
    let stand = Stand::start("redis://redis.invalid:6379", SHORT).await;
    stand.fine_until_counted(&["skipped"]).await;
}

#[tokio::test]
async fn a_slot_that_moves_and_a_primary_that_dies_lose_no_answer() {
    let mut cluster = RedisCluster::start();
    let stand = Stand::start(&cluster.url(), Duration::from_secs(1)).await;
    stand.hit("/engagements/1").await;
    let key = "engagement:1";
    let from = cluster.owner(key);
    let to = (from + 1) % 3;
    cluster.begin_move(key, from, to);
    stand.fine("/engagements/1").await;
    cluster.end_move(key, to);
    stand.hit("/engagements/1").await;
    cluster.node_mut(to).kill();
    stand.fine_until_counted(&["errors"]).await;
    stand.fine_until_counted(&["skipped"]).await;
}

/// Whoever had waited for the entry in vain waited for the key's lock as well, and then for what
/// it stored.
#[tokio::test]
async fn a_stopped_redis_is_waited_for_once_and_then_not_at_all() {
    let server = RedisServer::start();
    let stand = Stand::start(&server.url(), SHORT).await;
    stand.hit("/engagements/1").await;
    // Nothing of that is under way any more.
    until("the entry without its lock", || async {
        let exists = |key: &str| server.command(&["EXISTS", key]).text();
        (exists("engagement:1") == "1" && exists("~lock:engagement:1") == "0").then_some(())
    })
    .await;
    // Nobody waits for what is unlocked.
    let others = || ["verb = lock", "verb = put"].map(|verb| stand.counted(&[verb, "timeout"]));
    let before = others();
    server.stop_signal();
    let thousand = || async {
        let paths: Vec<_> = (0..1000).map(|n| format!("/engagements/{n}")).collect();
        join_all(paths.iter().map(|path| stand.fine(path))).await;
    };
    thousand().await;
    assert!(stand.counted(&["get", "timeout"]) >= 5, "they were asked");
    assert_eq!(others(), before, "once is enough");

    let before = (
        stand.counted(&["timeout"]),
        stand.counted(&["skipped_total"]),
    );
    thousand().await;
    assert_eq!(stand.counted(&["timeout"]), before.0, "nobody was asked");
    assert!(stand.counted(&["skipped_total"]) >= before.1 + 1000);

    server.continue_signal();
    let since = Instant::now();
    stand.hit("/engagements/1").await;
    let took = since.elapsed();
    // Two, and what a busy machine may add.
    assert!(took < Duration::from_secs(6), "recovery took {took:?}");
}
