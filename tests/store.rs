//! `RedisStore`.

use std::time::Duration;

use tower_keep::{Keep, RedisStore, Table};

use crate::support::RedisServer;

#[tokio::test]
async fn connects_with_and_without_defaults() {
    let server = RedisServer::start();
    RedisStore::connect(server.url()).await.expect("connects");
    let store = RedisStore::builder(server.unix_url())
        .connections(3)
        .deadline(Duration::from_secs(1))
        .connect()
        .await
        .expect("connects");
    assert!(format!("{store:?}").contains("healthy: true"), "{store:?}");
}

#[tokio::test]
async fn connect_fails_for_a_wrong_url_or_password_but_not_for_an_outage() {
    let mut server = RedisServer::builder()
        .user("user default on >right ~* &* +@all")
        .start();
    let wrong = server.url_as("default", "secret");
    let error = RedisStore::connect(&wrong)
        .await
        .expect_err("wrong password");
    assert!(
        error.is_refused() && !format!("{error:?}").contains("secret"),
        "{error:?}"
    );

    server.kill();
    RedisStore::connect(&wrong).await.expect("an outage");

    let error = RedisStore::connect("rediss+cluster:/nowhere")
        .await
        .expect_err("no URL");
    assert!(
        error.is_config() && error.to_string().contains("redis+cluster://"),
        "{error}"
    );
}

#[tokio::test]
#[cfg(feature = "tls")]
async fn trusts_the_given_certificate_authority() {
    let server = RedisServer::builder().tls().start();
    let store = RedisStore::builder(server.url()).root_certificate(server.authority());
    store.connect().await.expect("connects");
    let error = RedisStore::connect(server.url())
        .await
        .expect_err("a stranger");
    assert!(error.is_refused(), "{error:?}");
}

#[tokio::test]
async fn a_redis_that_may_evict_accepted_writes_is_refused_if_a_route_is_written_behind() {
    let server = RedisServer::builder()
        .config("maxmemory-policy", "allkeys-lru")
        .start();
    let table = |write: &str| {
        let text = format!("[[route]]\npath = \"/a/{{id}}\"\nkey = \"a:{{id}}\"\n{write}");
        text.parse::<Table>().expect("a table")
    };
    let store = RedisStore::connect(server.url()).await.expect("connects");
    Keep::with_store(table(""), store.clone())
        .await
        .expect("caches may be evicted");
    let error = Keep::with_store(table("write = \"behind\""), store)
        .await
        .expect_err("writes must not");
    assert!(error.is_refused(), "{error}");
    assert!(error.to_string().contains("allkeys-lru"), "{error}");
}

#[test]
fn debug_output_has_no_password() {
    let builder = RedisStore::builder("redis://app:secret@127.0.0.1");
    assert!(!format!("{builder:?}").contains("secret"));
}
