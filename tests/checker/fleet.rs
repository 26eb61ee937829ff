//! Sixteen processes, each with many waiting requests, call the origin once.
//!
//! `KEEP_CHECKER_WAITING`: the number of requests at each, 100 by default. A thousand need a release
//! build: they must all wait within the timeout of a process.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    database::{self, Database},
    process::Process,
    setting, started,
    world::{ITEMS, OF_GROUP, PATIENT},
};
use crate::common::one_shot_client as client;
use crate::support::{RedisServer, until};

const PROCESSES: usize = 16;

/// How long the lock of a dead process delays others.
const LEASE: Duration = Duration::from_secs(4);
/// After this time a process calls the origin even if another one has the lock.
const PATIENCE: Duration = Duration::from_secs(10);

struct Fleet {
    redis: RedisServer,
    database: Database,
    nodes: Vec<Arc<Process>>,
    /// The number of concurrent requests at each process.
    requests: u64,
}

impl Fleet {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let database = Database::start().await.expect("a port");
        let nodes =
            join_all((0..PROCESSES).map(|id| started(id, redis.url(), &database, PATIENT))).await;
        Self {
            nodes: nodes.into_iter().map(Arc::new).collect(),
            redis,
            database,
            requests: setting("KEEP_CHECKER_WAITING").unwrap_or(100),
        }
    }

    /// Stores the response in every process, then changes and expires it.
    async fn expire(&self, item: usize) {
        for node in &self.nodes {
            let read = client::ask(node.address, "GET", &format!("/{}", path(item))).await;
            assert!(read.is_some_and(|response| response.is_success()));
        }
        let written = database::ask(self.database.address, &format!("W 0 {item}")).await;
        assert_eq!(written.expect("a response"), "1");
        until("the stored response to expire everywhere", async || {
            for node in &self.nodes {
                let stored = client::ask_stored(node.address, &format!("/{}", path(item))).await?;
                if stored.is_success() {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Sends all requests to every process at the same time and returns the responses of each, if it
    /// survives.
    fn storm(&self, item: usize) -> Vec<JoinHandle<Option<String>>> {
        let storms = self.nodes.iter().map(|node| {
            let (address, path) = (
                node.address,
                format!("/storm/{}/{}", self.requests, path(item)),
            );
            tokio::spawn(async move {
                let response = client::ask_within(4 * PATIENCE, address, "GET", &path).await;
                response.map(|response| response.body)
            })
        });
        storms.collect()
    }

    /// Waits until all requests wait and there were at least `called` calls of the origin. Returns the
    /// number of calls by each process.
    async fn waiting(&self, called: usize) -> Vec<usize> {
        until("every request to wait", async || {
            let mut calls = Vec::new();
            for node in &self.nodes {
                let counts = client::ask(node.address, "GET", "/storming").await?;
                let (waiting, own) = counts.body.split_once(' ')?;
                if waiting != self.requests.to_string() {
                    return None;
                }
                calls.push(own.parse().ok()?);
            }
            (calls.iter().sum::<usize>() >= called).then_some(calls)
        })
        .await
    }

    /// Takes a lock as a seventeenth process: one without an end would be ignored.
    fn take_lock(&self, lock: &str) {
        let lease = LEASE.as_millis().to_string();
        self.redis.command(&["SET", lock, "17", "PX", &lease]);
    }

    /// Renews the lock. Never returns.
    async fn keep_lock(&self, lock: &str) {
        loop {
            sleep(LEASE / 8).await;
            self.take_lock(lock);
        }
    }

    /// The expected response of every process.
    fn expected(&self) -> HashSet<Option<String>> {
        [Some(format!("{} x 1", self.requests))].into()
    }

    async fn calls(&self) -> Vec<usize> {
        let mut calls = Vec::new();
        for node in &self.nodes {
            let counts = client::ask(node.address, "GET", "/storming").await;
            let counts = counts.expect("it lives").body;
            let (_, called) = counts.split_once(' ').expect("two numbers");
            calls.push(called.parse().expect("a number"));
        }
        calls
    }
}

fn path(item: usize) -> String {
    format!("brief/{}/{}", item / OF_GROUP, item % OF_GROUP)
}

fn key(item: usize) -> String {
    format!("brief:{}:{}", item / OF_GROUP, item % OF_GROUP)
}

async fn responses(storms: Vec<JoinHandle<Option<String>>>) -> HashSet<Option<String>> {
    let responses = join_all(storms).await;
    responses
        .into_iter()
        .map(|response| response.expect("no panic"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_sixteen_processes_calls_the_origin() {
    let fleet = Fleet::start().await;
    for item in 0..ITEMS {
        fleet.expire(item).await;
        let lock = format!("~lock:{}", key(item));
        // The handler does not respond before all of them wait.
        fleet.take_lock(&lock);
        let (start, before) = (Instant::now(), fleet.database.reads());
        let storms = fleet.storm(item);
        tokio::select! {
            _ = fleet.waiting(0) => {}
            () = fleet.keep_lock(&lock) => {}
        }
        let gathered = start.elapsed();
        fleet.redis.command(&["UNLINK", &lock]);
        let (responses, calls) = (responses(storms).await, fleet.database.reads() - before);
        println!(
            "{PROCESSES} x {} waited after {gathered:?}; {calls} calls in {:?}",
            fleet.requests,
            start.elapsed()
        );
        assert_eq!(responses, fleet.expected());
        // On a busy machine some requests may have timed out before all of them waited.
        if start.elapsed() < PATIENCE {
            assert_eq!(calls, 1);
            return;
        }
    }
    panic!("the machine is too slow to let so many requests wait at the same time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_costs_one_more_call() {
    let mut fleet = Fleet::start().await;
    for item in 0..ITEMS {
        fleet.expire(item).await;
        let before = (fleet.database.reads(), fleet.calls().await);
        fleet.database.hold_reads(true);
        let start = Instant::now();
        let mut storms = fleet.storm(item);
        let calls = fleet.waiting(before.1.iter().sum::<usize>() + 1).await;
        let gathered = start.elapsed();
        if gathered > LEASE / 2 {
            // On a busy machine the leader may no longer be the first one.
            fleet.database.hold_reads(false);
            responses(storms).await;
            continue;
        }
        let leader = calls
            .iter()
            .zip(&before.1)
            .position(|(now, then)| now > then);
        let leader = leader.expect("one of them leads");
        fleet.nodes.remove(leader).signal(Signal::KILL);
        assert_eq!(storms.remove(leader).await.expect("no panic"), None);
        until("another to lead", async || {
            (fleet.database.reads() - before.0 >= 2).then_some(())
        })
        .await;
        let led_again = start.elapsed();
        fleet.database.hold_reads(false);
        let (responses, calls) = (responses(storms).await, fleet.database.reads() - before.0);
        println!(
            "{PROCESSES} x {} waited after {gathered:?}; the next call after {led_again:?}; {calls} calls in {:?}",
            fleet.requests,
            start.elapsed()
        );
        assert_eq!(responses, fleet.expected());
        if start.elapsed() < 2 * LEASE {
            assert!(led_again >= LEASE, "the new leader waited for the lease");
            assert_eq!(calls, 2);
            return;
        }
    }
    panic!("the machine is too slow to let so many requests wait at the same time");
}
