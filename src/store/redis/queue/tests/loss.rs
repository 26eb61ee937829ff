//! A server that lost data, or took over from another.

use super::*;

async fn until_claimed(queue: &RedisQueue, key: &str, id: WriteId) -> ClaimedWrite {
    let claimed = async || match try_claim(queue, key, id).await.expect("claims") {
        Claim::Claimed(claimed) => Some(claimed),
        _ => None,
    };
    crate::support::until("a claim", claimed).await
}

/// After `loss`, a write that is due is handed out only after a lease.
async fn waits_for_a_lease(queue: &RedisQueue, what: &str, loss: impl Fn()) {
    let key = &format!("{what}-first");
    let first = push(queue, key).await;
    claim(queue, key, first).await;
    let seq = {
        let id = push(queue, &format!("{what}-seq")).await;
        claim(queue, &format!("{what}-seq"), id).await.seq
    };
    loss();
    let began = std::time::Instant::now();
    let key = &format!("{what}-next");
    let next = push(queue, key).await;
    let mut nothing = 0;
    let claimed = loop {
        match try_claim(queue, key, next).await.expect("claims") {
            Claim::Claimed(claimed) => break claimed,
            Claim::Nothing => nothing += 1,
            Claim::Lost => panic!("{what}: lost"),
        }
        let due = queue.due(queue.partition_of(key), 10).await.expect("due");
        if began.elapsed() < LEASE / 2 {
            assert_eq!(due.first, [], "{what}");
            let wait = due.next.expect("the end of the wait");
            assert!(wait <= LEASE && wait > LEASE / 4, "{what}: {wait:?}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(nothing > 2 && began.elapsed() >= LEASE, "{what}");
    assert!(claimed.seq > seq, "{what}: seq never goes back");
}

#[tokio::test]
async fn nothing_is_handed_out_for_a_lease_after_a_loss_or_failover() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    waits_for_a_lease(&queue, "failover", || {
        server.command(&["DEBUG", "CHANGE-REPL-ID"]);
    })
    .await;
    waits_for_a_lease(&queue, "loss", || {
        server.command(&["FLUSHALL"]);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_handed_out_for_a_lease_after_a_restart() {
    let mut server = RedisServer::start();
    let before = queue(&server).await;
    let id = push(&before, "k").await;
    claim(&before, "k", id).await;
    server.restart();
    let queue = RedisQueue::new(connect(&server.url()).await, "");
    assert_eq!(queue.status(id).await.expect("a status"), None);
    let began = std::time::Instant::now();
    let next = push(&queue, "k").await;
    until_claimed(&queue, "k", next).await;
    assert!(began.elapsed() >= LEASE);
}

/// A primary without a lease of its own knowledge waits for the longest that was asked for.
#[tokio::test]
async fn the_longest_lease_counts() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let id = push(&queue, "k").await;
    let first = FirstWrite {
        key: "k".into(),
        id,
    };
    let long = ClaimTerms {
        token: 1,
        lease: Duration::from_secs(3600),
        attempts: 25,
        max_age: Duration::from_secs(60),
    };
    let claimed = queue.claim(&first, &long).await.expect("claims");
    assert!(matches!(claimed, Claim::Claimed(_)));
    push(&queue, "k2").await;
    server.command(&["DEBUG", "CHANGE-REPL-ID"]);
    let due = queue.due(0, 10).await.expect("due");
    assert_eq!(due.first, []);
    assert!(due.next.expect("the wait") > Duration::from_secs(3500));
}

#[tokio::test]
async fn a_full_redis_accepts_nothing_and_is_drained() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let ids = [
        push(&queue, "a").await,
        push(&queue, "b").await,
        push(&queue, "c").await,
    ];
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let before = queue.counts().await.expect("counts");
    let refused = queue.push(&write(&queue, "a"), &BOUNDS).await;
    let refused = refused.expect_err("there is no memory");
    assert!(refused.is_refused(), "{refused}");
    // Not either if room for it could be made in the queue.
    let small = QueueBounds {
        max_bytes: 1,
        ..BOUNDS
    };
    let refused = queue.push(&write(&queue, "a"), &small).await;
    assert!(refused.expect_err("there is no memory").is_refused());
    assert_eq!(queue.counts().await.expect("counts").bytes, before.bytes);

    server.command(&["DEBUG", "CHANGE-REPL-ID"]);
    let claimed = try_claim(&queue, "a", ids[0]).await.expect("claims");
    assert_eq!(claimed, Claim::Nothing);
    let outcomes = [
        AttemptOutcome::Done,
        AttemptOutcome::Dead { hold: true },
        AttemptOutcome::Again(Duration::ZERO),
    ];
    for ((id, key), outcome) in ids.into_iter().zip(["a", "b", "c"]).zip(outcomes) {
        let claimed = until_claimed(&queue, key, id).await;
        assert!(queue.renew(&claimed.token, LEASE).await.expect("renews"));
        assert!(end(&queue, &claimed, outcome).await);
    }
    assert!(queue.delete(ids[1]).await.expect("deletes"));
    queue.set_paused(true).await.expect("pauses");
    let counts = queue.counts().await.expect("counts");
    assert_eq!((counts.waiting, counts.dead), (1, 0));
}
