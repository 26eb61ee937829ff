//! Slots move, primaries go.

use std::time::{Duration, Instant};

use super::{connect, get, set};
use crate::support::{RedisCluster, until};

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

#[tokio::test]
async fn a_primary_that_goes_takes_its_own_slots_only() {
    let mut cluster = RedisCluster::start();
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]);
    }
    let connections = connect(&cluster.url()).await;
    let lost = cluster.owner("lost");
    let kept = (0..)
        .map(|n| format!("kept{n}"))
        .find(|key| cluster.owner(key) != lost);
    let kept = kept.expect("two thirds of all keys");
    set(&connections, &kept, "v").await.expect("set");
    cluster.node_mut(lost).kill();
    until("the breaker to open", || async {
        let error = get(&connections, "lost")
            .await
            .expect_err("its primary is gone");
        assert!(error.is_unavailable(), "{error:?}");
        let open = error.to_string() == "redis is away";
        open.then_some(())
    })
    .await;
    // The client may be busy with its new picture of the Cluster.
    until("others to answer", async || {
        get(&connections, &kept).await.ok().map(drop)
    })
    .await;
    for _ in 0..100 {
        get(&connections, &kept).await.expect("others answer");
    }
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
