//! TLS: `rediss://`.

use super::{get, set};
use crate::{
    error::Error,
    store::redis::{client::RedisClient, config::Config},
    support::RedisServer,
};

async fn connect(url: &str, authority: Option<&str>) -> Result<RedisClient, Error> {
    let config = Config {
        deadline: std::time::Duration::from_secs(2),
        root_certificate: authority.map(Into::into),
        ..Config::default()
    };
    RedisClient::connect(url, config).await
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_used() {
    let server = RedisServer::builder().tls().start();
    let client = connect(&server.url(), Some(server.authority()))
        .await
        .expect("connects");
    set(&client, "k", "v").await.expect("set");
    assert_eq!(get(&client, "k").await.expect("get").as_deref(), Some("v"));
    let mut pubsub = client.pubsub().await.expect("connects");
    pubsub.subscribe("c").await.expect("subscribes");
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused() {
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
