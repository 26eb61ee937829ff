//! Slots move, primaries go.

use std::time::{Duration, Instant};

use super::{Config, Connections, connect, get, set};
use crate::{
    store::redis::{address::Address, topology},
    support::{RedisCluster, RedisServer, until},
};

#[tokio::test]
async fn a_moved_slot_is_followed() {
    let cluster = RedisCluster::start();
    let connections = connect(&cluster.url()).await;
    get(&connections, "k").await.expect("the slots are known");
    let from = cluster.owner("k");
    let to = (from + 1) % 3;
    cluster.begin_move("k", from, to);
    // ASK: what is not at its old place is made at its new one.
    set(&connections, "k", "asked").await.expect("set");
    assert_eq!(
        get(&connections, "k").await.expect("get").as_deref(),
        Some("asked")
    );
    cluster.end_move("k", to);
    // MOVED.
    assert_eq!(
        get(&connections, "k").await.expect("get").as_deref(),
        Some("asked")
    );
    assert_eq!(cluster.owner("k"), to);
    assert!(connections.healthy());
}

/// For as long as it is away: while the client makes itself a new picture of the Cluster, while the
/// Cluster gives the primary up, while the connections are made anew.
#[tokio::test]
async fn a_primary_that_goes_takes_its_own_slots_only() {
    takes_its_own_slots_only(RedisServer::kill).await;
}

#[tokio::test]
async fn a_primary_that_hangs_takes_its_own_slots_only() {
    takes_its_own_slots_only(|server| server.stop_signal()).await;
}

async fn takes_its_own_slots_only(go: impl FnOnce(&mut RedisServer)) {
    let mut cluster = RedisCluster::start();
    serve_what_there_is(&cluster);
    let config = Config {
        connections: 1,
        deadline: Duration::from_millis(500),
        ..Config::default()
    };
    let connections = Connections::connect(&cluster.url(), config).await;
    let connections = connections.expect("connects");
    let lost = cluster.owner("lost");
    let (gone, kept) = keys_by_fate(&cluster, lost);
    go(cluster.node_mut(lost));
    let start = Instant::now();
    let away = || start.elapsed() < Duration::from_secs(10);
    let read_gone = async {
        for key in gone[..3].iter().cycle().take_while(|_| away()) {
            let error = get(&connections, key).await;
            let error = error.expect_err("its primary is gone");
            assert!(error.is_unavailable(), "{error:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let read_kept = async {
        for key in kept.iter().cycle().take_while(|_| away()) {
            let reply = get(&connections, key).await;
            let after = start.elapsed();
            reply.unwrap_or_else(|error| panic!("{key} after {after:?}: {error:?}"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(read_gone, read_kept);
    let error = get(&connections, &gone[0]).await.expect_err("gone");
    assert_eq!(error.to_string(), "redis is away", "its breaker is open");
    // What is sent to a primary that is gone is sent to any other, whose answer proves nothing.
    // A client that has seen its slots go asks nobody at all.
    let (before, start) = (redirected(&cluster, lost), Instant::now());
    until("some probes", || async {
        let probed = redirected(&cluster, lost) >= before + 3;
        (probed || start.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    assert!(!connections.healthy());
}

/// Keys of one primary, and keys of the others. One breaker stands for 256 slots: those that it
/// shares between two primaries are left out.
fn keys_by_fate(cluster: &RedisCluster, lost: usize) -> (Vec<String>, Vec<String>) {
    let keys = (0..100).map(|n| format!("key{n}"));
    let apart = keys.filter(|key| ![21, 42].contains(&(topology::slot_of(key.as_bytes()) / 256)));
    apart.partition(|key| cluster.owner(key) == lost)
}

/// Otherwise the connection would be made anew, for the worse, again and again.
#[tokio::test]
async fn any_primary_answers_for_the_connection() {
    let cluster = RedisCluster::start();
    let address = Address::parse(&cluster.url(), &Config::default()).expect("an address");
    let mut wire = address.connect().await.expect("connects");
    cluster.nodes()[1].stop_signal();
    for _ in 0..10 {
        let asked = tokio::time::timeout(Duration::from_secs(1), wire.ping());
        asked.await.expect("in time").expect("an answer");
    }
}

#[tokio::test]
async fn who_starts_while_a_primary_hangs_uses_the_others() {
    let cluster = RedisCluster::start();
    serve_what_there_is(&cluster);
    let lost = cluster.owner("lost");
    let (_, kept) = keys_by_fate(&cluster, lost);
    cluster.nodes()[lost].stop_signal();
    let connections = connect(&cluster.url()).await;
    until("the others to answer", async || {
        get(&connections, &kept[0]).await.ok()
    })
    .await;
}

/// Nobody has asked about them since: each is probed by a slot of its own.
#[tokio::test]
async fn primaries_that_are_back_are_used_whoever_is_not() {
    let cluster = RedisCluster::start();
    serve_what_there_is(&cluster);
    let first = 0; // has the first slots
    let (_, kept) = keys_by_fate(&cluster, first);
    let connections = connect(&cluster.url()).await;
    for node in cluster.nodes() {
        node.stop_signal();
    }
    until("the Cluster to be given up", async || {
        (!connections.healthy()).then_some(())
    })
    .await;
    for node in &cluster.nodes()[first + 1..] {
        node.continue_signal();
    }
    for key in &kept[..8] {
        until("the others to answer", async || {
            get(&connections, key).await.ok()
        })
        .await;
    }
}

fn serve_what_there_is(cluster: &RedisCluster) {
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
}

/// How many `GET`s the nodes but one have not answered themselves.
fn redirected(cluster: &RedisCluster, but: usize) -> u64 {
    let nodes = cluster.nodes().iter().enumerate();
    nodes
        .filter(|(index, _)| *index != but)
        .map(|(_, node)| {
            let stats = node.command(&["INFO", "commandstats"]).text();
            let get = stats.lines().find(|line| line.starts_with("cmdstat_get:"));
            let rejected = get.and_then(|line| line.split("rejected_calls=").nth(1));
            let count = rejected.and_then(|rest| rest.split(',').next()?.parse().ok());
            count.unwrap_or(0_u64)
        })
        .sum()
}

#[tokio::test]
async fn the_replica_of_a_primary_that_goes_is_found() {
    finds_the_replica(RedisServer::kill).await;
}

/// No connection breaks that would tell its client.
#[tokio::test]
async fn the_replica_of_a_primary_that_hangs_is_found() {
    finds_the_replica(|server| server.stop_signal()).await;
}

async fn finds_the_replica(go: impl FnOnce(&mut RedisServer)) {
    let mut cluster = RedisCluster::start();
    let owner = cluster.owner("k");
    let replica = cluster.add_replica(owner);
    let config = Config {
        connections: 1, // which knows the primary that goes
        ..Config::default()
    };
    let connections = Connections::connect(&cluster.url(), config).await;
    let connections = connections.expect("connects");
    set(&connections, "k", "v").await.expect("set");
    until("the copy", || async {
        let offsets = replica.command(&["DBSIZE"]).text();
        (offsets == "1").then_some(())
    })
    .await;
    go(cluster.node_mut(owner));
    let value = until("the replica to take over", || async {
        get(&connections, "k").await.ok().flatten()
    })
    .await;
    assert_eq!(value, "v");
    until("the breakers to close", || async {
        connections.healthy().then_some(())
    })
    .await;
}
