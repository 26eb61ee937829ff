//! A primary that a Sentinel names, and what becomes of it.

use super::{connect, get, set, try_connect};
use crate::{
    store::redis::Connections,
    support::{RedisServer, Reply, until, wait_for},
};

/// A primary, its replica and the Sentinel that watches over both.
struct Watched {
    primary: RedisServer,
    replica: RedisServer,
    sentinel: RedisServer,
}

impl Watched {
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
        // The first of them is not there.
        let port = self.sentinel.port();
        format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{name}")
    }

    /// Sets a value until the successor has it.
    async fn succeeded(&self, connections: &Connections) {
        until("the successor", || async {
            set(connections, "k", "later").await.ok()?;
            let there = self.replica.command(&["GET", "k"]) == Reply::Bulk(b"later".to_vec());
            let role = self.replica.command(&["INFO", "replication"]).text();
            (there && role.contains("role:master")).then_some(())
        })
        .await;
        let read = get(connections, "k").await.expect("answers");
        assert_eq!(read.as_deref(), Some("later"));
    }
}

#[tokio::test]
async fn the_successor_of_a_primary_that_is_gone_is_found() {
    let mut watched = Watched::start();
    let connections = connect(&watched.url("main")).await;
    set(&connections, "k", "before").await.expect("set");
    assert_eq!(watched.primary.command(&["GET", "k"]).text(), "before");
    connections.pubsub().await.expect("at the primary");
    watched.primary.kill();
    watched.succeeded(&connections).await;
    connections.pubsub().await.expect("at the successor");
}

/// The old primary lives on as a replica, and says so.
#[tokio::test]
async fn the_successor_of_a_primary_that_became_a_replica_is_found() {
    let watched = Watched::start();
    let connections = connect(&watched.url("main")).await;
    set(&connections, "k", "before").await.expect("set");
    wait_for("the sentinel to think well of the replica", || {
        let ordered = watched.sentinel.command(&["SENTINEL", "FAILOVER", "main"]);
        ordered.text() == "OK"
    });
    watched.succeeded(&connections).await;
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_an_error_and_absence_an_outage() {
    let mut watched = Watched::start();
    let error = try_connect(&watched.url("other")).await;
    let error = error.expect_err("nobody is called so");
    assert!(error.is_config(), "{error:?}");
    watched.sentinel.kill();
    assert!(!connect(&watched.url("main")).await.healthy());
}
