//! `rediss://`

use super::{get, set};
use crate::{
    error::Error,
    store::redis::{Config, Connections},
    support::RedisServer,
};

async fn connect(url: &str, authority: Option<&str>) -> Result<Connections, Error> {
    let config = Config {
        deadline: std::time::Duration::from_secs(2),
        root_certificate: authority.map(Into::into),
        ..Config::default()
    };
    Connections::connect(url, config).await
}

#[tokio::test]
async fn speaks_tls_and_trusts_whom_it_is_told_to() {
    let server = RedisServer::builder().tls().start();
    let connections = connect(&server.url(), Some(server.authority()))
        .await
        .expect("connects");
    set(&connections, "k", "v").await.expect("set");
    assert_eq!(
        get(&connections, "k").await.expect("get").as_deref(),
        Some("v")
    );
    let mut pubsub = connections.pubsub().await.expect("connects");
    pubsub.subscribe("c").await.expect("subscribes");
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_refused() {
    let (server, other) = (
        RedisServer::builder().tls().start(),
        RedisServer::builder().tls().start(),
    );
    for authority in [None, Some(other.authority())] {
        let error = connect(&server.url(), authority)
            .await
            .expect_err("not trusted");
        assert!(error.is_refused(), "{error:?}");
    }
    let plain = server.url().replace("rediss", "redis");
    connect(&plain, Some(server.authority()))
        .await
        .expect_err("a certificate without tls");
}
