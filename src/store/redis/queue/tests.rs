//! The queue on real servers.

use std::{sync::Arc, time::Duration};

use super::RedisQueue;
use crate::{
    store::{
        contracts::queue::{
            Queue,
            suite::{TestQueue, run},
        },
        redis::{Config, RedisClient, command::Command},
    },
    support::{RedisCluster, RedisServer},
};

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

async fn behaves_as_a_queue(url: &str) {
    let client = &connect(url).await;
    run(async |number| TestQueue {
        on: Arc::new(old_queue(client, &format!("ns{number}:")).await),
        is_paused: false,
    })
    .await;
}

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
