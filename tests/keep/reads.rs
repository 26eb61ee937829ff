//! `ttl`, `exists` and `counter`.

use tokio::time::advance;
use tower_keep::{
    Key, Table,
    keep::TimeLeft,
    table::{ValueSettings, mins, secs},
};

use crate::{
    common::keeps::{new_keep, redis_keep},
    support::RedisServer,
};

fn table() -> Table {
    let plain = ValueSettings::new("config:*").plain(true);
    Table::new().jitter(0.0).ttl("quote", mins(10)).value(plain)
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_a_value_is_the_rest_of_its_freshness() {
    let (keep, key) = (new_keep(table()), Key::new("quote").id(1));
    assert_eq!(keep.ttl(&key).await, TimeLeft::Missing);
    keep.set(&key, "a quote").await.expect("JSON");
    assert_eq!(keep.ttl(&key).await, TimeLeft::Left(mins(10)));
    advance(mins(4)).await;
    assert_eq!(keep.ttl(&key).await.duration(), Some(mins(6)));
    assert!(keep.exists(&key).await);
    advance(mins(6)).await;
    assert_eq!(keep.ttl(&key).await, TimeLeft::Missing);
    assert!(!keep.exists(&key).await);
}

#[tokio::test]
async fn an_invalidated_value_has_no_ttl() {
    let (keep, key) = (new_keep(table()), Key::new("quote").id(1));
    keep.set(&key, "a quote").await.expect("JSON");
    keep.delete(&key).await.expect("invalidated");
    assert_eq!(keep.ttl(&key).await, TimeLeft::Missing);
}

#[tokio::test]
async fn the_ttl_of_a_value_of_another_program_is_that_of_its_key() {
    let server = RedisServer::start();
    let keep = redis_keep(server.url(), table()).await;
    let key = Key::new("config").id("theme");
    assert_eq!(keep.ttl(&key).await, TimeLeft::Missing);
    server.command(&["SET", "config:theme", "1"]);
    assert_eq!(keep.ttl(&key).await, TimeLeft::Never);
    assert!(keep.exists(&key).await);
    server.command(&["EXPIRE", "config:theme", "60"]);
    let left = keep.ttl(&key).await.duration().expect("a TTL");
    assert!(left <= secs(60) && left > secs(30), "{left:?}");
    server.command(&["UNLINK", "config:theme"]);
    server.command(&["LPUSH", "config:theme", "no string"]);
    assert!(!keep.exists(&key).await, "a list is no value");
}

#[tokio::test]
async fn a_value_of_another_process_has_a_ttl() {
    let server = RedisServer::start();
    let writer = redis_keep(server.url(), table()).await;
    let reader = redis_keep(server.url(), table()).await;
    let key = Key::new("quote").id(1);
    writer.set(&key, "a quote").await.expect("JSON");
    let left = reader.ttl(&key).await.duration().expect("a TTL");
    assert!(left <= mins(10) && left > mins(9), "{left:?}");
}

#[tokio::test]
async fn a_counter_is_read_by_every_process() {
    let mut server = RedisServer::start();
    let one = redis_keep(server.url(), table()).await;
    let other = redis_keep(server.url(), table()).await;
    let visits = Key::new("visits").id(42);
    assert_eq!(other.counter(&visits).await.expect("answered"), None);
    one.increment(&visits, i64::MAX, mins(1))
        .await
        .expect("added");
    assert_eq!(
        other.counter(&visits).await.expect("answered"),
        Some(i64::MAX)
    );
    server.command(&["SET", "visits:42", "no number"]);
    other.counter(&visits).await.expect_err("no counter");
    server.kill();
    let error = other.counter(&visits).await.expect_err("an outage");
    assert!(error.is_unavailable(), "{error}");
}
