//! Values that are written through.

use std::io;

use tokio::sync::oneshot;
use tower_keep::{
    Keep, Key, Table,
    keep::Invalidation,
    table::{ValueSettings, secs},
};

use crate::{
    common::{
        client::run_other_tasks,
        keeps::{new_keep, redis_keep},
    },
    support::{RedisServer, until},
};

fn keep() -> Keep {
    new_keep(Table::new().jitter(0.0))
}

fn key() -> Key {
    Key::new("quote").id(1)
}

async fn stored(keep: &Keep) -> Option<u32> {
    keep.get(&key()).await.expect("a number")
}

/// A write of `value` that ends when the sender is used.
fn begin_write(
    keep: &Keep,
    value: u32,
) -> (
    oneshot::Sender<()>,
    tokio::task::JoinHandle<io::Result<u32>>,
) {
    let (commit, committed) = oneshot::channel();
    let work = async move {
        let _ = committed.await;
        Ok::<_, io::Error>(value)
    };
    let write = keep.write([], work).replace(&key(), |written| *written);
    (commit, tokio::spawn(write))
}

#[tokio::test]
async fn a_written_value_is_found_at_once() {
    let keep = keep();
    keep.set(&key(), &1).await.expect("JSON");
    let other = Key::new("quote").id(2);
    keep.set(&other, &1).await.expect("JSON");
    let work = async { Ok::<_, io::Error>(2_u32) };
    let changes = [Invalidation::key(&other)];
    let written = keep.write(changes, work).replace(&key(), |two| two + 1);
    assert_eq!(written.await.expect("committed"), 2);
    assert_eq!(stored(&keep).await, Some(3));
    assert!(!keep.exists(&other).await);
}

#[tokio::test]
async fn a_failed_write_leaves_no_value() {
    let keep = keep();
    keep.set(&key(), &1).await.expect("JSON");
    let work = async { Err::<u32, _>("refused") };
    let write = keep.write([], work).replace(&key(), |written| *written);
    assert_eq!(write.await, Err("refused"));
    assert_eq!(stored(&keep).await, None);
}

#[tokio::test]
async fn a_cancelled_write_leaves_no_value_and_one_that_never_ran_changes_nothing() {
    let keep = keep();
    keep.set(&key(), &1).await.expect("JSON");
    drop(
        keep.write([], async { Ok::<_, ()>(2) })
            .replace(&key(), |written| *written),
    );
    assert_eq!(stored(&keep).await, Some(1), "never polled");
    let (_commit, write) = begin_write(&keep, 2);
    run_other_tasks().await;
    write.abort();
    assert!(write.await.is_err());
    assert_eq!(stored(&keep).await, None);
}

#[tokio::test]
async fn of_two_writes_at_the_same_time_none_is_stored_out_of_order() {
    for first_commits_first in [true, false] {
        let keep = keep();
        let (one, first) = begin_write(&keep, 1);
        let (two, second) = begin_write(&keep, 2);
        run_other_tasks().await;
        let ((early, early_write), (late, late_write)) = match first_commits_first {
            true => ((one, first), (two, second)),
            false => ((two, second), (one, first)),
        };
        early.send(()).expect("it waits");
        early_write.await.expect("no panic").expect("committed");
        late.send(()).expect("it waits");
        late_write.await.expect("no panic").expect("committed");
        assert_eq!(stored(&keep).await, None, "nobody knows which came last");
    }
}

#[tokio::test]
async fn a_value_read_before_a_write_does_not_replace_the_written_one() {
    let keep = keep();
    let (answer, asked) = oneshot::channel::<u32>();
    let reading = tokio::spawn({
        let keep = keep.clone();
        let make = || asked;
        async move { keep.get_or_set(&key(), make).await }
    });
    run_other_tasks().await;
    let (commit, write) = begin_write(&keep, 2);
    commit.send(()).expect("it waits");
    write.await.expect("no panic").expect("committed");
    answer.send(1).expect("it waits");
    assert_eq!(reading.await.expect("no panic"), Ok(1));
    assert_eq!(stored(&keep).await, Some(2));
}

#[tokio::test]
async fn an_invalidation_during_the_write_keeps_the_value_out() {
    let keep = keep();
    let (commit, write) = begin_write(&keep, 2);
    run_other_tasks().await;
    keep.delete_pattern("quote:*").await.expect("removed");
    commit.send(()).expect("it waits");
    write.await.expect("no panic").expect("committed");
    assert_eq!(stored(&keep).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_written_value_has_the_settings_of_its_entry() {
    let keep = keep();
    let entry = keep.entry(key()).ttl(secs(5)).tag("desk:7");
    let work = async { Ok::<_, io::Error>(2_u32) };
    let write = keep
        .write([], work)
        .replace_entry(entry, |written| *written);
    write.await.expect("committed");
    assert_eq!(keep.ttl(&key()).await.duration(), Some(secs(5)));
    keep.invalidate([Invalidation::tag("desk:7")])
        .await
        .expect("invalidated");
    assert_eq!(stored(&keep).await, None);
}

#[tokio::test]
async fn other_processes_find_the_written_value() {
    let server = RedisServer::start();
    let plain = ValueSettings::new("config:*").plain(true);
    let table = || Table::new().value(plain.clone());
    let writer = redis_keep(server.url(), table()).await;
    let reader = redis_keep(server.url(), table()).await;
    writer.set(&key(), &1).await.expect("JSON");
    assert_eq!(stored(&reader).await, Some(1));
    let (commit, write) = begin_write(&writer, 2);
    commit.send(()).expect("it waits");
    write.await.expect("no panic").expect("committed");
    until("the written value", || async {
        let found = stored(&reader).await;
        (found == Some(2)).then_some(())
    })
    .await;

    // Nothing protects the order of bare JSON, so that it is removed instead.
    let theme = Key::new("config").id("theme");
    writer.set(&theme, &1).await.expect("JSON");
    let work = async { Ok::<_, io::Error>(2_u32) };
    let write = writer.write([], work).replace(&theme, |written| *written);
    write.await.expect("committed");
    assert!(!reader.exists(&theme).await);
}
