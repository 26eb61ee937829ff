//! Moving slots and failing primaries of a Cluster.

use std::time::{Duration, Instant};

use super::{Config, RedisClient, connect, get, set};
use crate::{
    store::redis::{address::Address, slot::slot_of},
    support::{RedisCluster, RedisServer, until},
};

#[tokio::test]
async fn a_moved_slot_is_followed() {
    let cluster = RedisCluster::start();
    let client = connect(&cluster.url()).await;
    get(&client, "k").await.expect("the slots are known");
    let from = cluster.owner("k");
    let to = (from + 1) % 3;
    cluster.begin_move("k", from, to);
    // ASK: a key that is not at its old node is written to its new one.
    set(&client, "k", "asked").await.expect("set");
    assert_eq!(
        get(&client, "k").await.expect("get").as_deref(),
        Some("asked")
    );
    cluster.end_move("k", to);
    // MOVED.
    assert_eq!(
        get(&client, "k").await.expect("get").as_deref(),
        Some("asked")
    );
    assert_eq!(cluster.owner("k"), to);
    assert!(client.healthy());
}

/// At all times: while the client learns the new topology, while the Cluster replaces the primary, and
/// while the connections are replaced.
#[tokio::test]
async fn a_killed_primary_affects_its_own_slots_only() {
    affects_its_own_slots_only(RedisServer::kill).await;
}

#[tokio::test]
async fn a_hanging_primary_affects_its_own_slots_only() {
    affects_its_own_slots_only(|server| server.stop_signal()).await;
}

async fn affects_its_own_slots_only(fail: impl FnOnce(&mut RedisServer)) {
    let mut cluster = RedisCluster::start();
    allow_partial_coverage(&cluster);
    let config = Config {
        connections: 1,
        deadline: Duration::from_millis(500),
        ..Config::default()
    };
    let client = RedisClient::connect(&cluster.url(), config).await;
    let client = client.expect("connects");
    let lost = cluster.owner("lost");
    let (lost_keys, kept) = keys_by_owner(&cluster, lost);
    fail(cluster.node_mut(lost));
    let start = Instant::now();
    let during_outage = || start.elapsed() < Duration::from_secs(10);
    let read_lost = async {
        for key in lost_keys[..3]
            .iter()
            .cycle()
            .take_while(|_| during_outage())
        {
            let error = get(&client, key).await;
            let error = error.expect_err("its primary is gone");
            assert!(error.is_unavailable(), "{error:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let read_kept = async {
        for key in kept.iter().cycle().take_while(|_| during_outage()) {
            let reply = get(&client, key).await;
            let after = start.elapsed();
            reply.unwrap_or_else(|error| panic!("{key} after {after:?}: {error:?}"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(read_lost, read_kept);
    let error = get(&client, &lost_keys[0]).await.expect_err("gone");
    assert_eq!(
        error.to_string(),
        "redis unavailable: no command is sent until it answers a probe",
        "its breaker is open"
    );
    // A probe of a lost primary may be sent to another one, whose reply must not close the breaker.
    // A client that knows that the slots are gone sends none.
    let (before, start) = (redirected(&cluster, lost), Instant::now());
    until("some probes", || async {
        let probed = redirected(&cluster, lost) >= before + 3;
        (probed || start.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    assert!(!client.healthy());
}

/// Keys of one primary, and keys of the others. One breaker covers 256 slots: keys whose breaker
/// covers slots of two primaries are left out.
fn keys_by_owner(cluster: &RedisCluster, lost: usize) -> (Vec<String>, Vec<String>) {
    let keys = (0..100).map(|n| format!("key{n}"));
    let apart = keys.filter(|key| ![21, 42].contains(&(slot_of(key.as_bytes()) / 256)));
    apart.partition(|key| cluster.owner(key) == lost)
}

/// If one hanging primary failed the ping, the connection would be replaced by a worse one, again and
/// again.
#[tokio::test]
async fn a_ping_is_answered_by_any_primary() {
    let cluster = RedisCluster::start();
    let address = Address::parse(&cluster.url(), &Config::default()).expect("an address");
    let mut connection = address.connect().await.expect("connects");
    cluster.nodes()[1].stop_signal();
    for _ in 0..10 {
        let asked = tokio::time::timeout(Duration::from_secs(1), connection.ping());
        asked.await.expect("in time").expect("an answer");
    }
}

#[tokio::test]
async fn a_client_that_connects_while_a_primary_hangs_uses_the_others() {
    let cluster = RedisCluster::start();
    allow_partial_coverage(&cluster);
    let lost = cluster.owner("lost");
    let (_, kept) = keys_by_owner(&cluster, lost);
    cluster.nodes()[lost].stop_signal();
    let client = connect(&cluster.url()).await;
    until("the others to answer", async || {
        get(&client, &kept[0]).await.ok()
    })
    .await;
}

/// Recovery needs no request: each primary is probed with one of its own slots.
#[tokio::test]
async fn recovered_primaries_are_used_while_another_is_lost() {
    let cluster = RedisCluster::start();
    allow_partial_coverage(&cluster);
    let first = 0; // has the first slots
    let (_, kept) = keys_by_owner(&cluster, first);
    let client = connect(&cluster.url()).await;
    for node in cluster.nodes() {
        node.stop_signal();
    }
    until("a breaker to open", async || {
        (!client.healthy()).then_some(())
    })
    .await;
    for node in &cluster.nodes()[first + 1..] {
        node.continue_signal();
    }
    for key in &kept[..8] {
        until("the others to answer", async || {
            get(&client, key).await.ok()
        })
        .await;
    }
}

fn allow_partial_coverage(cluster: &RedisCluster) {
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
}

/// How many `GET`s the nodes other than `except` have redirected.
fn redirected(cluster: &RedisCluster, except: usize) -> u64 {
    let nodes = cluster.nodes().iter().enumerate();
    nodes
        .filter(|(index, _)| *index != except)
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
async fn the_replica_of_a_killed_primary_is_found() {
    finds_the_replica(RedisServer::kill).await;
}

/// A hanging primary breaks no connection, so the client does not learn of its replacement that way.
#[tokio::test]
async fn the_replica_of_a_hanging_primary_is_found() {
    finds_the_replica(|server| server.stop_signal()).await;
}

async fn finds_the_replica(fail: impl FnOnce(&mut RedisServer)) {
    let mut cluster = RedisCluster::start();
    let owner = cluster.owner("k");
    let replica = cluster.add_replica(owner);
    let config = Config {
        connections: 1, // Which knows the primary that is lost.
        ..Config::default()
    };
    let client = RedisClient::connect(&cluster.url(), config).await;
    let client = client.expect("connects");
    set(&client, "k", "v").await.expect("set");
    until("the replica to have the key", || async {
        let keys = replica.command(&["DBSIZE"]).text();
        (keys == "1").then_some(())
    })
    .await;
    fail(cluster.node_mut(owner));
    let value = until("the replica to take over", || async {
        get(&client, "k").await.ok().flatten()
    })
    .await;
    assert_eq!(value, "v");
    until("the breakers to close", || async {
        client.healthy().then_some(())
    })
    .await;
}
