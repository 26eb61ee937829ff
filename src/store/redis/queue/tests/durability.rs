//! Pushes that wait for replicas or the append-only file, and the check of servers.

use super::*;
use crate::support::wait_for;

const REPLICATED: QueueBounds = QueueBounds {
    durability: Durability::Replicas(1),
    ..BOUNDS
};

fn in_step(primary: &RedisServer, replica: &RedisServer) {
    wait_for("the replica to be in step", || {
        let info = primary.command(&["INFO", "replication"]).text();
        info.contains("state=online")
            && replica
                .command(&["INFO", "replication"])
                .text()
                .contains("master_link_status:up")
    });
}

#[tokio::test]
async fn a_replicated_write_is_accepted_once_a_replica_has_it() {
    let server = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&server).start();
    in_step(&server, &replica);
    let queue = queue(&server).await;
    queue.check(Durability::Replicas(1)).await.expect("allowed");
    let missing = queue.check(Durability::Replicas(2)).await;
    assert!(missing.expect_err("one replica").is_refused());
    for n in 1..=3 {
        let new = write(&queue, "k");
        let pushed = queue.push(&new, &REPLICATED).await.expect("pushes");
        assert_eq!(pushed, Pushed::Accepted(None));
        let there = replica.command(&["HLEN", "{behind:0}:writes"]).text();
        assert_eq!(there, n.to_string(), "the replica has it");
    }

    replica.stop_signal();
    let waiting = write(&queue, "k");
    let pushing = queue.push(&waiting, &REPLICATED);
    let others = async {
        // Other commands do not wait behind it.
        let began = std::time::Instant::now();
        for _ in 0..20 {
            push(&queue, "other").await;
        }
        assert!(began.elapsed() < Duration::from_secs(2));
    };
    let (pushed, ()) = tokio::join!(pushing, others);
    let error = pushed.expect_err("no replica has it");
    assert!(error.is_unavailable(), "{error}");
    assert!(
        error.to_string().contains("may have been accepted"),
        "{error}"
    );

    // It was accepted. A repeated push does not count as durable either, until a replica has it.
    let again = queue.push(&waiting, &REPLICATED).await;
    assert!(again.expect_err("still none").is_unavailable());
    replica.continue_signal();
    let again = queue.push(&waiting, &REPLICATED).await.expect("pushes");
    assert!(matches!(again, Pushed::Known(id, _) if id == waiting.id));
}

#[tokio::test]
async fn durable_pushes_go_on_after_a_lost_connection() {
    let server = RedisServer::start();
    let replica = RedisServer::builder().replica_of(&server).start();
    in_step(&server, &replica);
    let queue = queue(&server).await;
    for _ in 0..3 {
        let pushed = queue.push(&write(&queue, "k"), &REPLICATED).await;
        assert_eq!(pushed.expect("pushes"), Pushed::Accepted(None));
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
}

#[tokio::test]
async fn servers_that_cannot_keep_the_promise_are_refused() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    queue.check(Durability::Memory).await.expect("allowed");
    let no_file = queue.check(Durability::Fsync).await;
    let no_file = no_file.expect_err("no append-only file");
    assert!(no_file.to_string().contains("appendonly"), "{no_file}");
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    queue.check(Durability::Memory).await.expect("allowed");
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let evicting = queue.check(Durability::Memory).await;
    let evicting = evicting.expect_err("it may evict writes");
    assert!(evicting.is_refused(), "{evicting}");
    assert!(evicting.to_string().contains("noeviction"), "{evicting}");
}

/// Redis 7.0 has no `WAITAOF`; a later one confirms the write.
#[tokio::test]
async fn fsync_is_refused_or_confirmed() {
    let server = RedisServer::builder()
        .config("appendfsync", "always")
        .start();
    server.command(&["CONFIG", "SET", "appendonly", "yes"]);
    let queue = queue(&server).await;
    let bounds = QueueBounds {
        durability: Durability::Fsync,
        ..BOUNDS
    };
    let allowed = queue.check(Durability::Fsync).await;
    let pushed = queue.push(&write(&queue, "k"), &bounds).await;
    match allowed {
        Ok(()) => assert_eq!(pushed.expect("pushes"), Pushed::Accepted(None)),
        Err(error) => {
            assert!(error.to_string().contains("7.2"), "{error}");
            assert!(pushed.is_err());
        }
    }
}
