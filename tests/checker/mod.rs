//! Invalidation wins every race: three processes with one Redis in front of one database, random
//! readers and writers, and faults; the recorded history is checked against the guarantees.
//!
//! | guarantee | check |
//! |---|---|
//! | (a) after a process has responded to a write, no read that begins later at that process returns an older version | a read at the same process that was sent after the response to the write had arrived |
//! | (b) no read anywhere that begins later than `max_lag` after the append returns an older version | the append is over when a process with nothing left to deliver responds to the write, or when any process has applied it, whichever is first |
//! | (c) a process that has applied an invalidation never again serves what it replaced | every write also names a key of its own; a process's stream of invalidations says when it has applied that record |
//! | (d) at rest every process and Redis agree with the database or hold nothing usable | after `max_lag` without writes, the responses of a new process, which has no entries but those of Redis, and then those of every other process equal the database |
//!
//! The `MONITOR` output of Redis is also checked against the rule that
//! makes (d) cheap: the value of a key is never replaced by one of an earlier position
//! of the same epoch, unless it was removed in between.
//!
//! All times are of `CLOCK_MONOTONIC`, which the processes of a machine share. Between a commit and
//! its append either version may be seen: nothing is checked there.
//!
//! The same processes also test that only one process calls the origin for a key ([`fleet`]).
//!
//! - `KEEP_CHECKER_SECONDS`: how long faults are injected, 20 by default;
//! - `KEEP_CHECKER_SEED`: the choices of readers, writers and faults (not the order in which
//!   processes run);
//! - `KEEP_CHECKER_FAULTS`: names of faults, separated by commas.

mod database;
mod faults;
mod fleet;
mod history;
mod load;
mod node;
mod process;
mod stored;
mod undelivered;
mod world;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use fastrand::Rng;
use tokio::{runtime::Handle, task::JoinSet, time::sleep};

use self::{
    database::Database,
    faults::Faults,
    history::Read,
    load::{NODES, Run},
    process::Process,
    stored::Monitor,
    world::{MAX_LAG_MILLIS, STRICT, View},
};
use crate::{
    common::faulty_proxy::FaultyProxy,
    support::{RedisServer, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consistency_holds_under_faults() {
    let seed = setting("KEEP_CHECKER_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = setting("KEEP_CHECKER_SECONDS").unwrap_or(20);
    println!("KEEP_CHECKER_SEED={seed} KEEP_CHECKER_SECONDS={seconds}");
    let faults = start(Rng::with_seed(seed)).await;
    let run = Arc::clone(&faults.run);

    let end = Instant::now() + Duration::from_secs(seconds);
    let load = load(&run, seed);
    let faults = tokio::task::spawn_blocking(move || faults.inject_all(&names(), end));
    let mut faults = faults.await.expect("no panic");
    run.end();
    load.join_all().await;

    let at_rest = at_rest(&mut faults).await;
    let report = faults.monitor.end();
    let mut history = run.history().clone();
    history.commits = run.database.commits();
    let hits = history
        .reads
        .iter()
        .filter(|read| read.source.contains("hit"))
        .count();
    println!(
        "{} reads ({hits} hits), {} writes ({} committed), {} applications, {} stores, {} faults",
        history.reads.len(),
        history.writes.len(),
        history.commits.len(),
        history.applied.len(),
        report.stores,
        history.faults.len(),
    );
    let violations = history.violations();
    for broken in violations.iter().take(5) {
        println!("{broken:?}");
    }
    for broken in report.broken.iter().take(5) {
        println!("{broken}");
    }
    for read in &at_rest {
        println!(
            "broken: (d) at rest, but {read:?}; the database has {:?}",
            run.database.versions()
        );
    }
    assert!(
        violations.is_empty() && at_rest.is_empty() && report.broken.is_empty(),
        "{} reads broke (a) to (c), {} (d), {} stores went back; KEEP_CHECKER_SEED={seed}",
        violations.len(),
        at_rest.len(),
        report.broken.len(),
    );
    assert!(
        20 * hits > history.reads.len() && history.applied.len() > history.commits.len(),
        "the run proves nothing without hits and without invalidations received from other processes"
    );
}

/// Redis, the database, and three processes.
async fn start(random: Rng) -> Faults {
    let redis = RedisServer::builder()
        .config("repl-diskless-sync-delay", "0")
        .start();
    let database = Database::start().await.expect("a port");
    let (mut proxies, mut nodes) = (Vec::new(), Vec::new());
    for id in 0..NODES {
        let proxy = FaultyProxy::start(redis.port()).await.expect("a port");
        nodes.push(Arc::new(started(id, proxy.url(), &database, STRICT).await));
        proxies.push(proxy);
    }
    let started = nodes.len();
    Faults {
        run: Run::new(database, nodes),
        monitor: Monitor::start(redis.port()),
        redis,
        proxies,
        random,
        runtime: Handle::current(),
        started,
    }
}

async fn started(id: usize, redis: String, database: &Database, store: &'static str) -> Process {
    let address = database.address;
    let start = move || Process::start(id, &redis, address, store);
    tokio::task::spawn_blocking(start).await.expect("it starts")
}

fn load(run: &Arc<Run>, seed: u64) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for index in 0..12 {
        let random = Rng::with_seed(seed ^ (index + 1));
        if index < 5 {
            tasks.spawn(load::writer(Arc::clone(run), random));
        } else {
            tasks.spawn(load::reader(Arc::clone(run), random));
        }
    }
    tasks.spawn(load::listener(Arc::clone(run)));
    tasks
}

/// The reads that differ from the database after `max_lag` without writes.
async fn at_rest(faults: &mut Faults) -> Vec<Read> {
    let run = Arc::clone(&faults.run);
    for slot in 0..NODES {
        until("delivery", async || {
            (run.record_applied(&run.node(slot)).await == Some(0)).then_some(())
        })
        .await;
    }
    sleep(Duration::from_millis(MAX_LAG_MILLIS + 100)).await;
    faults.started += 1;
    let fresh = started(
        faults.started,
        faults.proxies[0].url(),
        &run.database,
        STRICT,
    )
    .await;
    let mut nodes: Vec<_> = (0..NODES).map(|slot| run.node(slot)).collect();
    nodes.insert(0, Arc::new(fresh));
    let versions = run.database.versions();
    let mut differ = Vec::new();
    for node in nodes.iter().chain(&nodes) {
        for view in View::all() {
            let read = until("a response", async || run.read(node, view).await).await;
            let present: Vec<u64> = view
                .items()
                .into_iter()
                .map(|item| versions[item])
                .collect();
            if read.versions != present {
                differ.push(read);
            }
        }
    }
    differ
}

fn names() -> Vec<String> {
    match env::var("KEEP_CHECKER_FAULTS") {
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
