//! Values that another program has put in place of the queue's, or removed.

use super::*;
use crate::{
    store::contracts::queue::Idempotency,
    support::{Reply, until},
    write_queue::WriteState,
};

/// The keys of `common.lua` and what their values are not.
fn names() -> impl Iterator<Item = String> {
    let fixed = super::super::partition::NAMES.into_iter();
    let names = fixed.map(|name| format!("{{behind:0}}:{name}"));
    names.chain(["{behind:0}:l:a".to_owned()])
}

/// A queue with a write in each state.
async fn full_queue(server: &RedisServer) -> (RedisQueue, Vec<WriteId>) {
    server.command(&["FLUSHALL"]);
    let queue = queue(server).await;
    let mut ids = vec![push(&queue, "a").await];
    let scoped = NewWrite {
        idempotency: Some(Idempotency {
            scope: [1; 16],
            fingerprint: [2; 16],
        }),
        ..write(&queue, "a")
    };
    queue.push(&scoped, &BOUNDS).await.expect("pushes");
    ids.push(scoped.id);
    for (key, outcome) in [
        ("done", AttemptOutcome::Done),
        ("dead", AttemptOutcome::Dead { hold: false }),
        ("held", AttemptOutcome::Dead { hold: true }),
        ("again", AttemptOutcome::Again(Duration::ZERO)),
    ] {
        let id = push(&queue, key).await;
        let claimed = claim(&queue, key, id).await;
        assert!(end(&queue, &claimed, outcome).await);
        ids.push(id);
    }
    (queue, ids)
}

/// Every verb works, and what is accepted now is applied.
async fn works(queue: &RedisQueue, what: &str) {
    let due = |n| async move {
        queue
            .due(0, n)
            .await
            .unwrap_or_else(|e| panic!("{what}: {e}"))
    };
    due(10).await;
    let new = push(queue, "a").await;
    let other = push(queue, "other").await;
    let claimed = until("everything to be claimed", || async {
        for first in due(100).await.first {
            let claimed = match try_claim(queue, &first.key, first.id).await {
                Ok(Claim::Claimed(claimed)) => claimed,
                Ok(_) => continue,
                Err(error) => panic!("{what}: {error}"),
            };
            assert!(end(queue, &claimed, AttemptOutcome::Done).await, "{what}");
        }
        let pending = queue.ask("a").await.expect("asks").ids;
        let others = queue.ask("other").await.expect("asks").ids;
        (pending.is_empty() && others.is_empty()).then_some(())
    });
    claimed.await;
    for id in [new, other] {
        let status = queue.status(id).await.expect("a status").expect("known");
        assert_eq!(status.state, WriteState::Done, "{what}");
    }
    for id in queue.dead_letters(0, 10).await.expect("dead letters") {
        queue.status(id).await.expect("a status");
        queue.retry(id).await.expect("retries");
    }
    queue.set_paused(true).await.expect("pauses");
    queue.set_paused(false).await.expect("continues");
    let counts = queue.counts().await.expect("counts");
    assert_eq!(counts.in_flight, 0, "{what}");
}

#[tokio::test]
async fn values_of_another_type_are_replaced() {
    let server = RedisServer::start();
    for name in names() {
        for damage in [["SET", &name, "x"].as_slice(), &["SADD", &name, "x"]] {
            let (queue, _) = full_queue(&server).await;
            server.command(&["DEL", &name]);
            server.command(damage);
            works(&queue, &format!("{damage:?}")).await;
        }
    }
}

#[tokio::test]
async fn removed_keys_are_made_again() {
    let server = RedisServer::start();
    for name in names() {
        let (queue, ids) = full_queue(&server).await;
        server.command(&["DEL", &name]);
        works(&queue, &format!("DEL {name}")).await;
        let content_is_gone = ["writes", "requests"].iter().any(|end| name.ends_with(end));
        if content_is_gone {
            let lost = queue.counts().await.expect("counts").lost;
            assert!(lost >= 2, "{name}: {lost}");
            continue;
        }
        for id in &ids[..2] {
            let status = queue.status(*id).await.expect("a status");
            let state = status.map(|status| status.state);
            assert_eq!(state, Some(WriteState::Done), "{name}: applied");
        }
    }
}

#[tokio::test]
async fn damaged_records_are_lost_once_and_hold_up_nothing() {
    let server = RedisServer::start();
    for name in [
        "writes",
        "keys",
        "scopes",
        "results",
        "ended_scopes",
        "last_ends",
        "letters",
    ] {
        let (queue, _) = full_queue(&server).await;
        let key = format!("{{behind:0}}:{name}");
        let fields = server.command(&["HKEYS", &key]);
        let Reply::Array(fields) = fields else {
            panic!("{fields:?}")
        };
        for field in fields {
            let Reply::Bulk(field) = field else {
                panic!("{field:?}")
            };
            for value in [
                &b""[..],
                b"\x9f\xc1\xff",
                b"garbage",
                b"f0",
                b"\x93\x01\x02\x03",
            ] {
                server.command(&[b"HSET", key.as_bytes(), &field, value]);
            }
        }
        works(&queue, &format!("damaged {name}")).await;
    }
}

#[tokio::test]
async fn numbers_that_are_none_stop_nothing() {
    let server = RedisServer::start();
    for field in [
        "seq",
        "bytes",
        "dead_bytes",
        "lost",
        "since",
        "lease",
        "paused",
    ] {
        for value in ["x", "-1", "nan", "inf", "1e300", "0.5", ""] {
            let (queue, _) = full_queue(&server).await;
            server.command(&["HSET", "{behind:0}:meta", field, value]);
            works(&queue, &format!("{field} {value}")).await;
        }
    }
    for zset in [
        "ready",
        "flight",
        "age",
        "expiries",
        "results_by_expiry",
        "dead",
    ] {
        for score in ["inf", "-inf", "1e300"] {
            let (queue, _) = full_queue(&server).await;
            let key = format!("{{behind:0}}:{zset}");
            server.command(&["ZADD", &key, score, "x"]);
            server.command(&["ZADD", &key, score, "a"]);
            works(&queue, &format!("{zset} {score}")).await;
        }
    }
}

#[tokio::test]
async fn foreign_ids_in_a_list_are_taken_off() {
    let server = RedisServer::start();
    let (queue, ids) = full_queue(&server).await;
    let list = "{behind:0}:l:a";
    let foreign = ids[5].to_bytes();
    for id in [&b"x"[..], &[7; 16], &foreign] {
        server.command(&[b"LPUSH", list.as_bytes(), id]);
    }
    works(&queue, "foreign ids").await;
    let status = queue.status(ids[5]).await.expect("a status");
    assert!(status.is_some(), "the write of another key is not lost");
    assert!(queue.counts().await.expect("counts").lost >= 2);
}
