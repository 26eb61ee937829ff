//! Workers of several processes on a real Redis.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::kit::*;
use crate::{
    keep::handle::Keep,
    store::redis::RedisStore,
    support::{RedisCluster, RedisServer, proxy::Proxy},
    table::{Behind, Store},
    write_behind::{WriteBehindWorker, WriteState},
};

async fn process(url: &str) -> Keep {
    let store = RedisStore::connect(url).await.expect("connects");
    let patient = Store::new().deadline(Duration::from_millis(500));
    let table = table(Behind::new()).store(patient);
    Keep::with_store(table, store).await.expect("a valid table")
}

fn worker(keep: &Keep, calls: &Arc<Calls>, call: Duration) -> RunningWorker {
    let service = calls.service(move |_, _| async move {
        sleep(call).await;
        Ok(answer(200))
    });
    let worker = WriteBehindWorker::new(keep, service).request_body::<String>();
    start_on(worker.lease(LEASE), Arc::clone(&keep.engine().queue))
}

/// Accepts `count` writes of each of `agents` keys, and waits until all have been applied.
async fn apply_all(keep: &Keep, calls: &Calls, agents: usize, count: usize) {
    let queue = &*keep.engine().queue;
    let mut ids = Vec::new();
    for number in 0..agents * count {
        let agent = (number % agents).to_string();
        let record = request(&agent, &number.to_string()).encode();
        ids.push(push_to(queue, &agent, record).await);
    }
    for id in ids {
        becomes(queue, id, WriteState::Done).await;
    }
    for agent in 0..agents {
        let mut bodies = calls.bodies_of(&agent.to_string());
        bodies.dedup();
        let expected: Vec<_> = (0..count)
            .map(|round| (agent + agents * round).to_string())
            .collect();
        assert_eq!(bodies, expected, "the order of a key");
    }
    assert!(!calls.have_overlapped(), "two writes of one key at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_two_processes_share_a_redis() {
    let server = RedisServer::start();
    let (here, there) = (process(&server.url()).await, process(&server.url()).await);
    let calls = Arc::new(Calls::default());
    let short = Duration::from_millis(2);
    let workers = [worker(&here, &calls, short), worker(&there, &calls, short)];
    apply_all(&here, &calls, 10, 10).await;
    assert_eq!(calls.count(), 100, "each was applied once");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_partitions_of_a_cluster() {
    let cluster = RedisCluster::start();
    let (here, there) = (process(&cluster.url()).await, process(&cluster.url()).await);
    assert!(here.engine().queue.partitions() > 1);
    let calls = Arc::new(Calls::default());
    let short = Duration::from_millis(2);
    let workers = [worker(&here, &calls, short), worker(&there, &calls, short)];
    apply_all(&here, &calls, 40, 3).await;
    assert_eq!(calls.count(), 120, "each was applied once");
    for worker in workers {
        worker.stop().await;
    }
}

/// Calls that go on while the connections are cut are neither repeated nor given up.
#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_end_neither_a_worker_nor_a_call() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port()).await.expect("listens");
    let here = process(&server.url()).await;
    let behind_proxy = process(&proxy.url()).await;
    let calls = Arc::new(Calls::default());
    let worker = worker(&behind_proxy, &calls, Duration::from_millis(100));
    let queue = &*here.engine().queue;
    let mut ids = Vec::new();
    for number in 0..12 {
        let agent = (number % 3).to_string();
        let record = request(&agent, &number.to_string()).encode();
        ids.push(push_to(queue, &agent, record).await);
    }
    for count in [2, 6] {
        calls.reach(count).await;
        // In the middle of a reply.
        proxy.cut_after(200);
        sleep(Duration::from_millis(500)).await;
        proxy.heal();
    }
    for id in ids {
        becomes(queue, id, WriteState::Done).await;
    }
    assert!(!calls.have_overlapped());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_slower_than_its_lease_is_made_once() {
    let server = RedisServer::start();
    let (here, there) = (process(&server.url()).await, process(&server.url()).await);
    let calls = Arc::new(Calls::default());
    let slow = LEASE + LEASE / 2;
    let workers = [worker(&here, &calls, slow), worker(&there, &calls, slow)];
    apply_all(&here, &calls, 1, 1).await;
    assert_eq!(calls.attempts(), [1]);
    for worker in workers {
        worker.stop().await;
    }
}
