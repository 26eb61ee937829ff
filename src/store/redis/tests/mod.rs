//! The client against real servers.

mod batch;
mod cluster;
mod outage;
mod refusal;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
mod values;

use std::{sync::LazyLock, time::Duration};

use futures_util::StreamExt;
use redis::Cmd;

use super::{client::RedisClient, command::Command, config::Config, script::Script};
use crate::{
    error::Error,
    support::{RedisCluster, RedisServer},
};

async fn connect(url: &str) -> RedisClient {
    try_connect(url).await.expect("connects")
}

/// Connects with a deadline that a busy machine can keep.
async fn try_connect(url: &str) -> Result<RedisClient, Error> {
    let config = Config {
        deadline: Duration::from_secs(2),
        ..Config::default()
    };
    RedisClient::connect(url, config).await
}

async fn set(client: &RedisClient, key: &str, value: &str) -> Result<(), Error> {
    let mut cmd = Cmd::new();
    cmd.arg("SET").arg(key).arg(value);
    client.query(Command::Put, &cmd).await
}

async fn get(client: &RedisClient, key: &str) -> Result<Option<String>, Error> {
    let mut cmd = Cmd::new();
    cmd.arg("GET").arg(key);
    client.query_batched(Command::Get, cmd).await
}

#[tokio::test]
async fn commands_reach_a_single_server() {
    let server = RedisServer::start();
    for url in [
        server.url(),
        server.unix_url(),
        format!("{}/1", server.url()),
    ] {
        let client = connect(&url).await;
        set(&client, "k", &url).await.expect("set");
        assert_eq!(get(&client, "k").await.expect("get"), Some(url));
    }
    assert!(server.command(&["GET", "k"]).text().starts_with("unix:"));
}

#[tokio::test]
async fn commands_reach_every_node_of_a_cluster() {
    let cluster = RedisCluster::start();
    let client = connect(&cluster.url()).await;
    for index in 0..64 {
        let key = format!("k{index}");
        set(&client, &key, &key).await.expect("set");
        assert_eq!(get(&client, &key).await.expect("get"), Some(key));
    }
    let primaries = client.primaries().await.expect("primaries");
    assert_eq!(primaries.len(), 3);
    check_dedicated_connections(&client).await;
    check_pubsub(&client).await;
}

#[tokio::test]
async fn blocking_commands_and_pubsub_have_their_own_connections() {
    let server = RedisServer::start();
    let client = connect(&server.url()).await;
    check_dedicated_connections(&client).await;
    check_pubsub(&client).await;
}

async fn check_dedicated_connections(client: &RedisClient) {
    for key in ["a", "b", "c", "d"] {
        let mut dedicated = client.dedicated(key.as_bytes()).await.expect("connects");
        let mut read = Cmd::new();
        read.arg("BLPOP").arg(key).arg(20);
        let blocked = tokio::spawn(async move {
            let popped: (String, String) =
                dedicated.query(Command::Sync, &read).await.expect("popped");
            popped.1
        });
        let mut push = Cmd::new();
        push.arg("RPUSH").arg(key).arg("x");
        let _: u64 = client.query(Command::Put, &push).await.expect("pushed");
        assert_eq!(blocked.await.expect("ends"), "x");
    }
}

async fn check_pubsub(client: &RedisClient) {
    let mut pubsub = client.pubsub().await.expect("connects");
    pubsub
        .subscribe("cache:invalidate")
        .await
        .expect("subscribes");
    let mut publish = Cmd::new();
    publish.arg("PUBLISH").arg("cache:invalidate").arg("a:*");
    let _: u64 = client
        .query(Command::Publish, &publish)
        .await
        .expect("published");
    let message = pubsub.on_message().next().await.expect("a message");
    assert_eq!(message.get_payload_bytes(), b"a:*");
}

#[tokio::test]
async fn a_script_that_the_server_does_not_know_is_sent_by_source() {
    let server = RedisServer::start();
    let client = connect(&server.url()).await;
    static SCRIPT: LazyLock<Script> =
        LazyLock::new(|| Script::new("return {KEYS[1], ARGV[1], ARGV[2]}"));
    let call = SCRIPT.call(["k"]).arg("a").arg(7);
    for _ in 0..2 {
        let reply: (String, String, u64) =
            client.script(Command::Append, &call).await.expect("runs");
        assert_eq!(reply, ("k".into(), "a".into(), 7));
        server.command(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(
        server.calls("eval"),
        2,
        "by source only if the digest is unknown"
    );
    let _: (String, String, u64) = client.script(Command::Append, &call).await.expect("runs");
    assert_eq!(server.calls("eval"), 3);
}

#[tokio::test]
async fn dropping_the_last_clone_closes_the_connections() {
    let server = RedisServer::start();
    let clients = || {
        let list = server.command(&["CLIENT", "LIST"]).text();
        list.matches("lib-name=tower-keep").count() + list.matches("cmd=ping").count()
    };
    let client = connect(&server.url()).await;
    let clone = client.clone();
    drop(client);
    set(&clone, "k", "v")
        .await
        .expect("the clone shares the connections");
    drop(clone);
    crate::support::until("the connections to close", || async {
        (clients() == 0).then_some(())
    })
    .await;
}
