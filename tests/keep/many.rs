//! `get_many` and `set_many`.

use serde_json::Value;
use tower_keep::{
    Key, Table,
    table::{Local, ValueSettings, mins},
};

use crate::{
    common::keeps::redis_keep,
    support::{RedisCluster, RedisServer},
};

fn keys(count: u32) -> Vec<Key> {
    (0..count).map(|n| Key::new("quote").id(n)).collect()
}

fn table() -> Table {
    let plain = ValueSettings::new("config:*").plain(true);
    Table::new().ttl("quote", mins(10)).value(plain)
}

#[tokio::test]
async fn many_values_are_read_from_redis_in_one_command() {
    let server = RedisServer::start();
    let (writer, reader) = (
        redis_keep(server.url(), table()).await,
        redis_keep(server.url(), table()).await,
    );
    let keys = keys(200);
    let values = keys.iter().zip(0..).filter(|(_, n)| n % 2 == 0);
    writer.set_many(values).await.expect("JSON");
    let before = (server.calls("get"), server.calls("mget"));
    let found = reader.get_many::<u32>(&keys).await.expect("numbers");
    let expected: Vec<_> = (0..200).map(|n| (n % 2 == 0).then_some(n)).collect();
    assert_eq!(found, expected);
    assert_eq!(server.calls("mget"), before.1 + 1);
    assert_eq!(server.calls("get"), before.0);

    // They are in the local tier now; the others are asked for again.
    let found = reader.get_many::<u32>(&keys[..1]).await.expect("numbers");
    assert_eq!(found, [Some(0)]);
    assert_eq!(server.calls("mget"), before.1 + 1);
}

#[tokio::test]
async fn plain_values_are_read_with_the_others() {
    let server = RedisServer::start();
    let keep = redis_keep(server.url(), table().local(Local::new().size(0))).await;
    let [theme, size] = ["theme", "size"].map(|name| Key::new("config").id(name));
    let quote = Key::new("quote").id(1);
    server.command(&["SET", "config:theme", "\"dark\""]);
    server.command(&["LPUSH", "config:size", "no string"]);
    keep.set_many([(&quote, "a quote")]).await.expect("JSON");
    let asked = [&size, &quote, &theme, &quote];
    let found = keep.get_many::<String>(asked).await.expect("texts");
    let found: Vec<_> = found.iter().map(Option::as_deref).collect();
    assert_eq!(
        found,
        [None, Some("a quote"), Some("dark"), Some("a quote")]
    );
}

#[tokio::test]
async fn an_invalidated_value_is_not_among_them() {
    let server = RedisServer::start();
    let (writer, reader) = (
        redis_keep(server.url(), table()).await,
        redis_keep(server.url(), table()).await,
    );
    let keys = keys(3);
    writer.set_many(keys.iter().zip(0..)).await.expect("JSON");
    reader.get_many::<u32>(&keys).await.expect("numbers");
    reader.delete_pattern("quote:1*").await.expect("removed");
    let found = reader.get_many::<u32>(&keys).await.expect("numbers");
    assert_eq!(found, [Some(0), None, Some(2)]);
}

#[tokio::test]
async fn an_error_names_the_key_of_the_value_that_is_of_another_type() {
    let server = RedisServer::start();
    let keep = redis_keep(server.url(), table()).await;
    let keys = keys(2);
    let values = keys.iter().zip([Value::from(1), Value::from("text")]);
    keep.set_many(values).await.expect("JSON");
    let error = keep.get_many::<u32>(&keys).await.expect_err("a text");
    assert!(
        error.is_value() && error.to_string().contains("quote:1"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_stored_if_one_value_does_not_serialise() {
    let server = RedisServer::start();
    let keep = redis_keep(server.url(), table()).await;
    let keys = keys(2);
    let bad = std::collections::BTreeMap::from([((1, 2), 3)]);
    let error = keep
        .set_many([(&keys[0], &Default::default()), (&keys[1], &bad)])
        .await;
    assert!(error.expect_err("no JSON").is_value());
    assert!(!keep.exists(&keys[0]).await);
}

#[tokio::test]
async fn a_cluster_is_asked_once_for_each_slot() {
    let cluster = RedisCluster::start();
    let keep = redis_keep(cluster.url(), table().local(Local::new().size(0))).await;
    let keys = keys(50);
    keep.set_many(keys.iter().zip(0..)).await.expect("JSON");
    let calls = || {
        cluster
            .nodes()
            .iter()
            .map(|node| node.calls("mget"))
            .sum::<u64>()
    };
    let before = calls();
    let found = keep.get_many::<u32>(&keys).await.expect("numbers");
    let expected: Vec<_> = (0..50).map(Some).collect();
    assert_eq!(found, expected);
    let slots: std::collections::BTreeSet<_> =
        keys.iter().map(|key| cluster.slot(key.as_str())).collect();
    assert_eq!(calls() - before, slots.len() as u64);
}

#[tokio::test]
async fn without_redis_the_values_are_missing() {
    let mut server = RedisServer::start();
    let keep = redis_keep(server.url(), table().local(Local::new().size(0))).await;
    let keys = keys(2);
    keep.set_many(keys.iter().zip(0..)).await.expect("JSON");
    server.kill();
    let found = keep.get_many::<u32>(&keys).await.expect("no error");
    assert_eq!(found, [None, None]);
    keep.set_many(keys.iter().zip(0..)).await.expect("logged");
}
