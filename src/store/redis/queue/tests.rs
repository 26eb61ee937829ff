//! The queue on real servers.

mod damage;
mod durability;
mod loss;
mod servers;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::RedisQueue;
use crate::{
    error::Error,
    store::{
        contracts::queue::{
            AttemptEnd, AttemptOutcome, Claim, ClaimTerms, ClaimedWrite, Coalescing, FirstWrite,
            NewWrite, Pushed, Queue, QueueBounds, Retention,
            suite::{TestQueue, run},
        },
        position::Position,
        redis::{Config, RedisClient, command::Command},
    },
    support::{RedisCluster, RedisServer},
    write_queue::{Durability, WriteId},
};

#[tokio::test]
async fn behaves_as_a_queue_on_one_server() {
    let server = RedisServer::start();
    behaves_as_a_queue(&server.url()).await;
}

#[tokio::test]
async fn behaves_as_a_queue_on_a_cluster() {
    let cluster = RedisCluster::start();
    behaves_as_a_queue(&cluster.url()).await;
}

async fn behaves_as_a_queue(url: &str) {
    let client = &connect(url).await;
    run(async |number| TestQueue {
        on: Arc::new(old_queue(client, &format!("ns{number}:")).await),
        is_paused: false,
    })
    .await;
}

async fn connect(url: &str) -> RedisClient {
    let config = Config {
        deadline: Duration::from_secs(5),
        ..Config::default()
    };
    RedisClient::connect(url, config).await.expect("connects")
}

/// A queue that has been there for so long that it hands out writes at once.
async fn old_queue(client: &RedisClient, namespace: &str) -> RedisQueue {
    let queue = RedisQueue::new(client.clone(), namespace);
    for partition in &queue.partitions {
        queue.due(partition.number(), 1).await.expect("due");
        let mut age = redis::cmd("HSET");
        age.arg(partition.any()).arg("since").arg(1);
        let _: u64 = client.query(Command::Put, &age).await.expect("set");
    }
    queue
}

async fn queue(server: &RedisServer) -> RedisQueue {
    old_queue(&connect(&server.url()).await, "").await
}

const BOUNDS: QueueBounds = QueueBounds {
    max_queue: 100,
    max_bytes: 1 << 20,
    max_per_key: 100,
    retention: RETENTION,
    durability: Durability::Memory,
};

const RETENTION: Retention = Retention {
    result: Duration::from_secs(60),
    idempotency: Duration::from_secs(60),
    max_dead: 100,
    max_dead_bytes: 1 << 20,
    dead_age: Duration::from_secs(60),
};

const LEASE: Duration = Duration::from_millis(1000);

fn write(queue: &RedisQueue, key: &str) -> NewWrite {
    NewWrite {
        id: WriteId::random(queue.partition_of(key)).expect("random numbers"),
        key: key.into(),
        user: None,
        idempotency: None,
        coalescing: Coalescing::Never,
        request: Bytes::from_static(b"request"),
    }
}

async fn push(queue: &RedisQueue, key: &str) -> WriteId {
    let write = write(queue, key);
    let pushed = queue.push(&write, &BOUNDS).await.expect("pushes");
    assert_eq!(pushed, Pushed::Accepted(None));
    write.id
}

async fn try_claim(queue: &RedisQueue, key: &str, id: WriteId) -> Result<Claim, Error> {
    let first = FirstWrite {
        key: key.into(),
        id,
    };
    let terms = ClaimTerms {
        token: fastrand::u64(..),
        lease: LEASE,
        attempts: 25,
        max_age: Duration::from_secs(60),
    };
    queue.claim(&first, &terms).await
}

async fn claim(queue: &RedisQueue, key: &str, id: WriteId) -> ClaimedWrite {
    match try_claim(queue, key, id).await.expect("claims") {
        Claim::Claimed(claimed) => claimed,
        other => panic!("{other:?}"),
    }
}

async fn end(queue: &RedisQueue, claimed: &ClaimedWrite, outcome: AttemptOutcome) -> bool {
    let end = AttemptEnd {
        outcome,
        position: Position { epoch: 1, n: 1 },
        reason: Some("a reason".into()),
        answer: Some(Bytes::from_static(b"answer")),
    };
    let ended = queue.end(&claimed.token, &end, &RETENTION).await;
    ended.expect("ends")
}
