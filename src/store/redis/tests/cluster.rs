//! Slots move, primaries go.

use std::time::{Duration, Instant};

use super::{super::topology, Config, Connections, connect, get, set};
use crate::support::{RedisCluster, RedisServer, until};

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
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
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
async fn a_promoted_replica_is_found() {
    let mut cluster = RedisCluster::start();
    let owner = cluster.owner("k");
    let replica = cluster.add_replica(owner);
    let connections = connect(&cluster.url()).await;
    set(&connections, "k", "v").await.expect("set");
    until("the copy", || async {
        let offsets = replica.command(&["DBSIZE"]).text();
        (offsets == "1").then_some(())
    })
    .await;
    cluster.node_mut(owner).kill();
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
