//! Error replies of Redis that are not outages.

use super::{connect, get, set, try_connect};
use crate::{
    error::Error,
    support::{RedisCluster, RedisServer, wait_for},
};

/// Checks that writes are refused with `code`, reads are not, and the breaker stays closed.
async fn refuses_writes(url: &str, code: &str) {
    let client = connect(url).await;
    for _ in 0..20 {
        let error = set(&client, "k", "v").await.expect_err(code);
        assert!(error.is_refused(), "{error:?}");
        assert!(
            error.to_string().starts_with("redis refused put"),
            "{error}"
        );
        assert!(error.to_string().contains(code), "{error}");
        get(&client, "k").await.expect("reads go on");
    }
    assert!(client.healthy());
}

async fn refused(url: &str) -> Error {
    let error = try_connect(url).await.expect_err("refused");
    assert!(error.is_refused(), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    error
}

#[tokio::test]
async fn wrong_or_missing_credentials_fail_to_connect() {
    let server = RedisServer::builder()
        .user("user default off")
        .user("user app on >right ~* &* +@all")
        .start();
    connect(&server.url_as("app", "right")).await;
    refused(&server.url_as("app", "secret")).await;
    refused(&server.url_as("nobody", "secret")).await;
    let error = refused(&server.url()).await;
    assert!(error.to_string().contains("NOAUTH"), "{error}");
}

#[tokio::test]
async fn a_command_that_the_acl_forbids_is_named() {
    let server = RedisServer::builder()
        .user("user default on nopass ~* &* +@all")
        .user("user few on >pw ~* &* +@all -evalsha -unlink -xadd")
        .user("user half on >pw ~* &* +@all -multi -get")
        .start();
    let error = refused(&server.url_as("few", "pw")).await;
    for command in ["EVALSHA", "UNLINK", "XADD"] {
        assert!(error.to_string().contains(command), "{error}");
    }
    assert!(!error.to_string().contains("SET"), "{error}");
    assert_eq!(server.command(&["DBSIZE"]).text(), "0", "nothing was run");
    // Without MULTI the check is skipped, and the command fails when it is used.
    let client = connect(&server.url_as("half", "pw")).await;
    let error = get(&client, "k").await.expect_err("no GET");
    assert!(
        error.is_refused() && error.to_string().contains("'get'"),
        "{error}"
    );
    assert!(client.healthy());
}

#[tokio::test]
async fn the_needed_commands_are_sufficient() {
    let commands = super::super::permissions::needed_commands();
    let rules: Vec<String> = commands
        .map(|name| format!("+{}", name.to_lowercase()))
        .collect();
    let rule = format!(
        "user app on >pw ~keep:* &keep:* {} +multi +discard +ping",
        rules.join(" ")
    );
    let server = RedisServer::builder()
        .user("user default on nopass ~* &* +@all")
        .user(&rule)
        .start();
    let client = connect(&server.url_as("app", "pw")).await;
    set(&client, "keep:k", "v").await.expect("its own keys");
    let error = set(&client, "k", "v").await.expect_err("others");
    assert!(error.is_refused(), "{error:?}");
}

#[tokio::test]
async fn a_replica_refuses_writes() {
    let primary = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&primary).start();
    wait_for("the replica", || {
        let info = replica.command(&["INFO", "replication"]).text();
        info.contains("master_link_status:up")
    });
    refuses_writes(&replica.url(), "READONLY").await;
}

#[tokio::test]
async fn a_full_server_refuses_writes() {
    let server = RedisServer::start();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    refuses_writes(&server.url(), "OOM").await;
}

#[tokio::test]
async fn a_server_that_cannot_save_refuses_writes() {
    let server = RedisServer::builder()
        .config("save", "3600 1000000")
        .start();
    // The dump cannot be renamed over a directory that is not empty.
    std::fs::create_dir_all(server.dir().join("dump.rdb/full")).expect("created");
    server.command(&["BGSAVE"]);
    wait_for("the save to fail", || {
        let info = server.command(&["INFO", "persistence"]).text();
        info.contains("rdb_last_bgsave_status:err")
    });
    refuses_writes(&server.url(), "MISCONF").await;
}

#[tokio::test]
async fn a_url_for_the_wrong_mode_is_an_error() {
    let cluster = RedisCluster::start();
    let error = try_connect(&cluster.nodes()[0].url())
        .await
        .expect_err("a cluster");
    assert!(
        error.is_config() && error.to_string().contains("redis+cluster://"),
        "{error}"
    );
    let server = RedisServer::start();
    let error = refused(&server.url().replace("redis:", "redis+cluster:")).await;
    assert!(
        error.to_string().contains("cluster support disabled"),
        "{error}"
    );
}

#[tokio::test]
async fn a_cluster_refuses_wrong_credentials() {
    let cluster = RedisCluster::start();
    for node in cluster.nodes() {
        node.command(&["CONFIG", "SET", "requirepass", "right"]);
    }
    let url = |password: &str| cluster.url().replace("//", &format!("//:{password}@"));
    connect(&url("right")).await;
    refused(&url("secret")).await;
}
