//! Refreshes and stale values of processes that share a Redis.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tower_keep::{
    Key, Table,
    keep::TimeLeft,
    table::{Local, ValueSettings, hours, mins, secs},
};

use crate::{
    common::{keeps::redis_keep, origin::Gate},
    support::{RedisServer, until},
};

fn key() -> Key {
    Key::new("quote").id(1)
}

/// A table by which every use refreshes a value.
fn always_due() -> Table {
    Table::new().ttl("quote", mins(10))
}

#[tokio::test]
async fn one_of_all_processes_refreshes_a_value() {
    let server = RedisServer::start();
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Gate::closed());
    let mut keeps = Vec::new();
    for _ in 0..3 {
        keeps.push(redis_keep(server.url(), always_due()).await);
    }
    keeps[0].set(&key(), &0).await.expect("JSON");
    let ask = |index: usize| {
        let (calls, gate) = (Arc::clone(&calls), gate.clone());
        let entry = keeps[index].entry(key()).refresh_ahead(hours(1));
        async move {
            let make = move || async move {
                calls.fetch_add(1, Ordering::SeqCst);
                gate.pass().await;
                Ok::<_, &'static str>(1)
            };
            entry.get_or_refresh(make).await
        }
    };
    for found in join_all([0, 1, 2, 0, 1, 2].map(ask)).await {
        assert_eq!(found, Ok(0));
    }
    until("a refresh", || async {
        (calls.load(Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    // The others have found the lock, or find it now.
    for found in join_all([0, 1, 2].map(ask)).await {
        assert_eq!(found, Ok(0));
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    gate.open();
    let table = always_due().local(Local::new().size(0));
    let reader = redis_keep(server.url(), table).await;
    until("the refreshed value", || async {
        let found = reader.get::<u32>(&key()).await.expect("a number");
        (found == Some(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn another_process_returns_a_stale_value_in_place_of_an_error() {
    let server = RedisServer::start();
    let table = || Table::new().jitter(0.0);
    let writer = redis_keep(server.url(), table()).await;
    let reader = redis_keep(server.url(), table()).await;
    let stored = writer
        .entry(key())
        .ttl(std::time::Duration::from_millis(1))
        .stale_if_error(mins(10));
    stored.set(&7).await.expect("JSON");
    until("the end of its freshness", || async {
        (writer.ttl(&key()).await == TimeLeft::Missing).then_some(())
    })
    .await;
    let found = reader
        .get_or_set(&key(), || async { Err::<u32, _>("down") })
        .await;
    assert_eq!(found, Ok(7), "the window is stored with the value");
}

#[tokio::test]
async fn a_plain_value_is_refreshed_by_its_remaining_time() {
    let server = RedisServer::start();
    let plain = ValueSettings::new("config:*")
        .plain(true)
        .ttl(mins(10))
        .refresh_ahead(mins(5));
    let keep = redis_keep(server.url(), Table::new().jitter(0.0).value(plain)).await;
    let key = Key::new("config").id("theme");
    let ask = async || {
        let make = || async { Ok::<_, &'static str>("new".to_owned()) };
        keep.get_or_set(&key, make).await.expect("a value")
    };
    server.command(&["SET", "config:theme", "\"old\"", "EX", "400"]);
    assert_eq!(ask().await, "old", "it has more than five minutes");
    server.command(&["SET", "config:theme", "\"old\"", "EX", "200"]);
    assert_eq!(ask().await, "new");
    assert_eq!(server.command(&["GET", "config:theme"]).text(), "\"new\"");
    let left = keep.ttl(&key).await.duration().expect("a TTL");
    assert!(left > mins(5) && left <= secs(600), "{left:?}");
}
