//! Write-behind under faults: processes that accept and apply writes share one Redis, and a test database
//! records every call of theirs; the recorded history is checked against the guarantees.
//!
//! | guarantee | check |
//! |---|---|
//! | (a) every accepted write is applied at least once, or is a dead letter, or was lost with Redis' data | at rest, each token of a 202 was committed, or is one that the database always refuses, or was accepted before data was lost |
//! | (b) per key, writes are applied for the first time in the order of acceptance | first commits of a key have rising `seq`; a write that was sent after another one's 202 has the greater `seq` |
//! | (c) one at a time | calls for a key overlap only if the process of the earlier one was stopped or killed |
//! | (d) an idempotency key is one write | all 202s for a token have the same id, and all calls for a token, too |
//! | (e) a GET that begins after a 202 shows the write once, at any process | unless the response says that the queue could not be asked |
//! | (f) a GET that begins after a burial does not show the write | at rest |
//!
//! - `BEHIND_CHECKER_SECONDS`: how long faults are injected, 20 by default;
//! - `BEHIND_CHECKER_SEED`: the choices of clients and faults;
//! - `BEHIND_CHECKER_FAULTS`: names of faults, separated by commas.

mod database;
mod faults;
mod history;
mod load;
mod node;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::{task::JoinSet, time::sleep};

use self::{
    database::Database,
    faults::Faults,
    load::{KEYS, NODES, Run},
    node::Node,
};
use crate::{
    common::faulty_proxy::FaultyProxy,
    support::{RedisServer, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_writes_are_applied_in_order_under_faults() {
    let seed = setting("BEHIND_CHECKER_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = setting("BEHIND_CHECKER_SECONDS").unwrap_or(20);
    println!("BEHIND_CHECKER_SEED={seed} BEHIND_CHECKER_SECONDS={seconds}");
    let redis = RedisServer::builder()
        .config("repl-diskless-sync-delay", "0")
        .start();
    let database = Database::start(seed).await.expect("a port");
    let (mut proxies, mut nodes) = (Vec::new(), Vec::new());
    for id in 0..NODES {
        let proxy = FaultyProxy::start(redis.port()).await.expect("a port");
        nodes.push(Arc::new(started(id, &proxy, &database).await));
        proxies.push(proxy);
    }
    let run = Run::new(database, nodes);
    let faults = Faults {
        run: Arc::clone(&run),
        redis,
        proxies,
        random: Rng::with_seed(seed),
        started: NODES,
    };

    let mut load = JoinSet::new();
    for writer in 0..WRITERS {
        load.spawn(load::writer(
            Arc::clone(&run),
            Rng::with_seed(seed ^ writer),
            writer,
        ));
    }
    for reader in 0..READERS {
        let random = Rng::with_seed(seed ^ (100 + reader));
        load.spawn(load::reader(Arc::clone(&run), random));
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let names = names();
    let inject = tokio::task::spawn_blocking(move || faults.inject_all(&names, end));
    let faults = inject.await.expect("no panic");
    run.end();
    load.join_all().await;

    run.database.set_gentle();
    drain(&run).await;
    for key in 0..KEYS {
        for slot in 0..NODES {
            until("a response", async || run.read(&run.node(slot), key).await).await;
        }
    }
    let mut history = run.history().clone();
    history.calls = run.database.calls();
    println!("{}", history.summary());
    let violations = history.violations();
    for violation in violations.iter().take(8) {
        println!("{violation}");
    }
    drop(faults);
    assert!(
        violations.is_empty(),
        "{} violations; BEHIND_CHECKER_SEED={seed}",
        violations.len()
    );
    assert!(
        history.accepted.len() > 20 && history.calls.len() > 20,
        "the run proves nothing without accepted writes"
    );
}

/// Waits until every accepted write has ended.
async fn drain(run: &Run) {
    let patience = Instant::now() + Duration::from_secs(90);
    loop {
        let node = run.node(0);
        let counts = node.waiting().await;
        if counts == Some(0) {
            return;
        }
        assert!(Instant::now() < patience, "writes are left: {counts:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn started(id: usize, proxy: &FaultyProxy, database: &Database) -> Node {
    let (url, address) = (proxy.url(), database.address);
    let start = move || Node::start(id, &url, address);
    tokio::task::spawn_blocking(start).await.expect("it starts")
}

fn names() -> Vec<String> {
    match env::var("BEHIND_CHECKER_FAULTS") {
        Ok(names) => names
            .split(',')
            .filter(|name| !name.is_empty())
            .map(Into::into)
            .collect(),
        Err(_) => faults::ALL.map(Into::into).into(),
    }
}

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|value| value.parse().ok())
}

const WRITERS: u64 = 6;
const READERS: u64 = 4;
