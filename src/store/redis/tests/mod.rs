//! Connections to real servers, in good times and bad.

mod cluster;
mod gather;
mod outage;
mod refusal;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
mod values;

use std::time::Duration;

use futures_util::StreamExt;
use redis::Cmd;

use super::{Config, Connections, Script, Verb};
use crate::{
    error::Error,
    support::{RedisCluster, RedisServer},
};

async fn connect(url: &str) -> Connections {
    try_connect(url).await.expect("connects")
}

/// With a deadline that a busy machine keeps: what is tested is what happens.
async fn try_connect(url: &str) -> Result<Connections, Error> {
    let config = Config {
        deadline: Duration::from_secs(2),
        ..Config::default()
    };
    Connections::connect(url, config).await
}

async fn set(connections: &Connections, key: &str, value: &str) -> Result<(), Error> {
    let mut cmd = Cmd::new();
    cmd.arg("SET").arg(key).arg(value);
    connections.query(Verb::Put, &cmd).await
}

async fn get(connections: &Connections, key: &str) -> Result<Option<String>, Error> {
    let mut cmd = Cmd::new();
    cmd.arg("GET").arg(key);
    connections.look_up(Verb::Get, cmd).await
}

#[tokio::test]
async fn speaks_to_one_server() {
    let server = RedisServer::start();
    for url in [
        server.url(),
        server.unix_url(),
        format!("{}/1", server.url()),
    ] {
        let connections = connect(&url).await;
        set(&connections, "k", &url).await.expect("set");
        assert_eq!(get(&connections, "k").await.expect("get"), Some(url));
    }
    assert!(server.command(&["GET", "k"]).text().starts_with("unix:"));
}

#[tokio::test]
async fn speaks_to_a_cluster() {
    let cluster = RedisCluster::start();
    let connections = connect(&cluster.url()).await;
    for index in 0..64 {
        let key = format!("k{index}");
        set(&connections, &key, &key).await.expect("set");
        assert_eq!(get(&connections, &key).await.expect("get"), Some(key));
    }
    let primaries = connections.primaries().await.expect("primaries");
    assert_eq!(primaries.len(), 3);
    blocks_on_a_connection_of_its_own(&connections).await;
    listens(&connections).await;
}

#[tokio::test]
async fn has_connections_for_what_blocks() {
    let server = RedisServer::start();
    let connections = connect(&server.url()).await;
    blocks_on_a_connection_of_its_own(&connections).await;
    listens(&connections).await;
}

async fn blocks_on_a_connection_of_its_own(connections: &Connections) {
    for key in ["a", "b", "c", "d"] {
        let mut dedicated = connections
            .dedicated(key.as_bytes())
            .await
            .expect("connects");
        let mut read = Cmd::new();
        read.arg("BLPOP").arg(key).arg(20);
        let blocked = tokio::spawn(async move {
            let popped: (String, String) =
                dedicated.query(Verb::Sync, &read).await.expect("popped");
            popped.1
        });
        let mut push = Cmd::new();
        push.arg("RPUSH").arg(key).arg("x");
        let _: u64 = connections.query(Verb::Push, &push).await.expect("pushed");
        assert_eq!(blocked.await.expect("ends"), "x");
    }
}

async fn listens(connections: &Connections) {
    let mut pubsub = connections.pubsub().await.expect("connects");
    pubsub
        .subscribe("cache:invalidate")
        .await
        .expect("subscribes");
    let mut publish = Cmd::new();
    publish.arg("PUBLISH").arg("cache:invalidate").arg("a:*");
    let _: u64 = connections
        .query(Verb::Publish, &publish)
        .await
        .expect("published");
    let message = pubsub.on_message().next().await.expect("a message");
    assert_eq!(message.get_payload_bytes(), b"a:*");
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_given_again() {
    let server = RedisServer::start();
    let connections = connect(&server.url()).await;
    let script = Script::new("return {KEYS[1], ARGV[1], ARGV[2]}");
    for _ in 0..2 {
        let reply: (String, String, u64) = connections
            .script(Verb::Append, &script, &[b"k"], &["a".into(), 7_u64.into()])
            .await
            .expect("runs");
        assert_eq!(reply, ("k".into(), "a".into(), 7));
        server.command(&["SCRIPT", "FLUSH"]);
    }
    assert_eq!(server.calls("eval"), 2, "by source only when it has to be");
    let _: (String, String, u64) = connections
        .script(Verb::Append, &script, &[b"k"], &["a".into(), 7_u64.into()])
        .await
        .expect("runs");
    assert_eq!(server.calls("eval"), 3);
}

#[tokio::test]
async fn the_connections_go_with_their_last_owner() {
    let server = RedisServer::start();
    let clients = || {
        let list = server.command(&["CLIENT", "LIST"]).text();
        list.matches("lib-name=tower-keep").count() + list.matches("cmd=ping").count()
    };
    let connections = connect(&server.url()).await;
    let clone = connections.clone();
    drop(connections);
    set(&clone, "k", "v").await.expect("the clone is the same");
    drop(clone);
    crate::support::until("the connections to close", || async {
        (clients() == 0).then_some(())
    })
    .await;
}
