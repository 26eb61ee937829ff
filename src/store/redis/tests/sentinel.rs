//! A primary found from Sentinels, and its failover.

use super::{connect, get, set, try_connect};
use crate::{
    store::redis::client::RedisClient,
    support::{RedisServer, Reply, until, wait_for},
};

/// A primary, its replica and the Sentinel that monitors both.
struct Monitored {
    primary: RedisServer,
    replica: RedisServer,
    sentinel: RedisServer,
}

impl Monitored {
    fn start() -> Self {
        let primary = RedisServer::start();
        let replica = RedisServer::builder().replica_of(&primary).start();
        wait_for("the replica", || {
            let info = replica.command(&["INFO", "replication"]).text();
            info.contains("master_link_status:up")
        });
        let sentinel = RedisServer::builder().sentinel_of(&primary).start();
        wait_for("the sentinel to know the replica", || {
            let known = sentinel.command(&["SENTINEL", "REPLICAS", "main"]);
            matches!(known, Reply::Array(replicas) if !replicas.is_empty())
        });
        Self {
            primary,
            replica,
            sentinel,
        }
    }

    fn url(&self, name: &str) -> String {
        // The first Sentinel is down.
        let port = self.sentinel.port();
        format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{name}")
    }

    /// Waits until the replica is promoted and serves the client.
    async fn wait_for_failover(&self, client: &RedisClient) {
        until("the replica to be promoted", || async {
            set(client, "k", "later").await.ok()?;
            let there = self.replica.command(&["GET", "k"]) == Reply::Bulk(b"later".to_vec());
            let role = self.replica.command(&["INFO", "replication"]).text();
            (there && role.contains("role:master")).then_some(())
        })
        .await;
        let read = get(client, "k").await.expect("answers");
        assert_eq!(read.as_deref(), Some("later"));
    }
}

#[tokio::test]
async fn the_successor_of_a_killed_primary_is_found() {
    let mut monitored = Monitored::start();
    let client = connect(&monitored.url("main")).await;
    set(&client, "k", "before").await.expect("set");
    assert_eq!(monitored.primary.command(&["GET", "k"]).text(), "before");
    client.pubsub().await.expect("at the primary");
    monitored.primary.kill();
    monitored.wait_for_failover(&client).await;
    client.pubsub().await.expect("at the successor");
}

/// The old primary stays reachable as a replica.
#[tokio::test]
async fn the_successor_of_a_demoted_primary_is_found() {
    let monitored = Monitored::start();
    let client = connect(&monitored.url("main")).await;
    set(&client, "k", "before").await.expect("set");
    wait_for("the sentinel to accept the failover", || {
        let ordered = monitored
            .sentinel
            .command(&["SENTINEL", "FAILOVER", "main"]);
        ordered.text() == "OK"
    });
    monitored.wait_for_failover(&client).await;
}

#[tokio::test]
async fn an_unknown_primary_is_an_error_and_a_lost_sentinel_an_outage() {
    let mut monitored = Monitored::start();
    let error = try_connect(&monitored.url("other")).await;
    let error = error.expect_err("unknown");
    assert!(error.is_config(), "{error:?}");
    monitored.sentinel.kill();
    assert!(!connect(&monitored.url("main")).await.healthy());
}
