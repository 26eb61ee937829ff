//! Keys, partitions, permissions and subscriptions on real servers.

use super::*;
use crate::support::wait_for;

#[tokio::test]
async fn no_key_has_a_time_to_live() {
    let server = RedisServer::start();
    let queue = old_queue(&connect(&server.url()).await, "ns:").await;
    let id = push(&queue, "k").await;
    push(&queue, "k").await;
    let claimed = claim(&queue, "k", id).await;
    assert!(end(&queue, &claimed, AttemptOutcome::Dead { hold: true }).await);
    let keys = server.command(&["KEYS", "*"]).strings();
    assert!(keys.len() > 5, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("ns:{behind:0}:"), "{key}");
        assert_eq!(server.command(&["PTTL", &key]).text(), "-1", "{key}");
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    push(&queue, "k").await;
    server.command(&["HSET", "{behind:0}:meta", "partitions", "16"]);
    let error = queue.check(Durability::Memory).await;
    let error = error.expect_err("made on a Cluster");
    assert!(
        error.is_refused() && error.to_string().contains("16 partitions"),
        "{error}"
    );
    assert!(queue.push(&write(&queue, "k"), &BOUNDS).await.is_err());
    assert!(queue.due(0, 1).await.is_err());
}

#[tokio::test]
async fn the_partitions_of_a_cluster_are_spread() {
    let cluster = RedisCluster::start();
    let queue = old_queue(&connect(&cluster.url()).await, "{ns}x:").await;
    assert_eq!(queue.partitions(), 16);
    let many = QueueBounds {
        max_queue: 10_000,
        ..BOUNDS
    };
    let mut used = [false; 16];
    for n in 0..200 {
        let new = write(&queue, &format!("agent:{n}"));
        let pushed = queue.push(&new, &many).await.expect("pushes");
        assert_eq!(pushed, Pushed::Accepted(None));
        used[usize::from(new.id.partition())] = true;
    }
    assert_eq!(used, [true; 16]);
    let counts = queue.counts().await.expect("counts");
    assert_eq!(counts.waiting, 200);
    queue.check(Durability::Memory).await.expect("allowed");
}

#[tokio::test]
async fn a_user_without_the_channel_can_use_the_queue() {
    let server = RedisServer::builder()
        .user("user default on nopass ~* &* +@all")
        .user("user app on >secret ~* resetchannels +@all")
        .start();
    let client = connect(&server.url_as("app", "secret")).await;
    let queue = old_queue(&client, "").await;
    let id = push(&queue, "k").await;
    let claimed = claim(&queue, "k", id).await;
    assert!(end(&queue, &claimed, AttemptOutcome::Done).await);
}

#[tokio::test]
async fn workers_are_woken_also_after_a_lost_connection() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let mut wakes = queue.wakes();
    wakes.next().await; // subscribes
    for n in 0..3 {
        let subscribed = || {
            let channels = server
                .command(&["PUBSUB", "NUMSUB", "behind:wake"])
                .strings();
            channels.last().is_some_and(|count| count == "1")
        };
        wait_for("the subscription", subscribed);
        let began = std::time::Instant::now();
        let key = format!("k{n}");
        let (id, ()) = tokio::join!(push(&queue, &key), wakes.next());
        assert!(began.elapsed() < Duration::from_secs(2), "not by the poll");
        claim(&queue, &key, id).await;
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        // One call notices the loss, and one subscribes again.
        wakes.next().await;
        wakes.next().await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_writes_that_are_not_kept() {
    let server = RedisServer::start();
    let queue = queue(&server).await;
    let nothing = Retention {
        result: Duration::ZERO,
        idempotency: Duration::ZERO,
        ..RETENTION
    };
    for n in 0..500 {
        let key = format!("k{}", n % 7);
        let id = push(&queue, &key).await;
        let claimed = claim(&queue, &key, id).await;
        let done = AttemptEnd {
            outcome: AttemptOutcome::Done,
            position: Position::UNKNOWN,
            reason: None,
            answer: None,
        };
        assert!(
            queue
                .end(&claimed.token, &done, &nothing)
                .await
                .expect("ends")
        );
    }
    crate::support::until("what has ended to be removed", || async {
        queue.due(0, 1).await.expect("due");
        let keys = server.command(&["KEYS", "*"]).strings();
        (keys == ["{behind:0}:meta"]).then_some(())
    })
    .await;
    assert_eq!(queue.counts().await.expect("counts").bytes, 0);
}
