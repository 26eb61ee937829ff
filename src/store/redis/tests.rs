//! Connections to real servers, in good times and bad.

use redis::Cmd;

use super::{Config, Connections, Verb};
use crate::{
    error::Error,
    support::{RedisCluster, RedisServer},
};

async fn connect(url: &str) -> Connections {
    Connections::connect(url, Config::default())
        .await
        .expect("connects")
}

async fn set(connections: &Connections, key: &str, value: &str) -> Result<(), Error> {
    let mut cmd = Cmd::new();
    cmd.arg("SET").arg(key).arg(value);
    connections.query(Verb::Put, &cmd).await
}

async fn get(connections: &Connections, key: &str) -> Result<Option<String>, Error> {
    let mut cmd = Cmd::new();
    cmd.arg("GET").arg(key);
    connections.query(Verb::Get, &cmd).await
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
}
