//! Readers and writers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::time::sleep;

use super::{
    database::{Database, Stage},
    history::{Applied, History, Read, Write},
    process::Process,
    world::{ITEMS, KINDS, View, WriteKind},
};
use crate::common::{clock, one_shot_client as client};

pub(super) const NODES: usize = 3;

/// State shared by readers, writers and faults.
pub(super) struct Run {
    pub(super) database: Database,
    nodes: Mutex<Vec<Arc<Process>>>,
    history: Mutex<History>,
    tokens: AtomicU64,
    ended: AtomicBool,
    writers_paused: AtomicBool,
}

impl Run {
    pub(super) fn new(database: Database, nodes: Vec<Arc<Process>>) -> Arc<Self> {
        let history = History {
            began: clock::now(),
            ..History::default()
        };
        Arc::new(Self {
            database,
            nodes: Mutex::new(nodes),
            history: Mutex::new(history),
            tokens: AtomicU64::new(1),
            ended: AtomicBool::new(false),
            writers_paused: AtomicBool::new(false),
        })
    }

    pub(super) fn node(&self, slot: usize) -> Arc<Process> {
        Arc::clone(&lock(&self.nodes)[slot])
    }

    pub(super) fn replace(&self, slot: usize, node: Process) {
        lock(&self.nodes)[slot] = Arc::new(node);
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(super) fn token(&self) -> u64 {
        self.tokens.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Pauses or resumes the writers: the next write of the same item would hide what a process has
    /// missed.
    pub(super) fn pause_writers(&self, paused: bool) {
        self.writers_paused.store(paused, Ordering::SeqCst);
    }

    /// Reads once and records the response.
    pub(super) async fn read(&self, node: &Process, view: View) -> Option<Read> {
        let start = clock::now();
        let response = client::ask(node.address, "GET", &view.to_string()).await?;
        let end = clock::now();
        let versions: Vec<u64> = response
            .body
            .split_whitespace()
            .filter_map(|version| version.parse().ok())
            .collect();
        if !response.is_success() || versions.len() != view.items().len() {
            return None;
        }
        let source = response.field("cache-status").or(response.field("x-value"));
        let source = source.unwrap_or_default().to_owned();
        let read = Read {
            node: node.id,
            view,
            start,
            end,
            versions,
            source,
        };
        self.history().reads.push(read.clone());
        Some(read)
    }

    /// Writes and waits for the response.
    pub(super) async fn write(&self, node: &Process, item: usize, how: WriteKind) -> Option<u64> {
        let token = self.token();
        if !node.begin(token) {
            return None;
        }
        let start = clock::now();
        let response = client::ask(node.address, "PUT", &how.path(item, token)).await;
        self.written(node, token, how, start, response.as_ref());
        response.map(|_| token)
    }

    /// Writes and leaves when the write has reached `stage`.
    pub(super) async fn write_and_leave(
        &self,
        node: &Process,
        item: usize,
        how: WriteKind,
        stage: Stage,
    ) {
        let token = self.token();
        if !node.begin(token) {
            return;
        }
        let reached = self.database.reached(token, stage);
        let (start, path) = (clock::now(), how.path(item, token));
        tokio::select! {
            response = client::ask(node.address, "PUT", &path) => {
                self.written(node, token, how, start, response.as_ref());
            }
            _ = reached => self.written(node, token, how, start, None),
        }
    }

    pub(super) fn written(
        &self,
        node: &Process,
        token: u64,
        how: WriteKind,
        start: u64,
        response: Option<&client::HttpResponse>,
    ) {
        let answered = response
            .filter(|response| response.is_success())
            .map(|_| clock::now());
        let delivered = response.and_then(client::HttpResponse::undelivered) == Some(0);
        if answered.is_some() && delivered {
            node.end(token);
        }
        let write = Write {
            node: node.id,
            token,
            how,
            start,
            answered,
            delivered,
        };
        self.history().writes.push(write);
    }

    /// Records the invalidations that a node has applied, and returns how many it has left to deliver.
    pub(super) async fn record_applied(&self, node: &Process) -> Option<u64> {
        let response = client::ask(node.address, "GET", "/applied").await?;
        for line in response.body.lines() {
            let (token, at) = line.split_once(' ')?;
            let (token, at) = (token.parse().ok()?, at.parse().ok()?);
            self.history().applied.push(Applied {
                node: node.id,
                token,
                at,
            });
            for slot in 0..NODES {
                self.node(slot).end(token);
            }
        }
        response.undelivered()
    }
}

/// Reads, mostly of the items that are written most.
pub(super) async fn reader(run: Arc<Run>, mut random: Rng) {
    while !run.has_ended() {
        let view = View::of(item(&mut random), random.usize(..KINDS));
        let node = run.node(random.usize(..NODES));
        run.read(&node, view).await;
        sleep(Duration::from_millis(random.u64(..12))).await;
    }
}

/// Writes, then reads at the same process and at another.
pub(super) async fn writer(run: Arc<Run>, mut random: Rng) {
    while !run.has_ended() {
        if run.writers_paused.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(5)).await;
            continue;
        }
        let (item, node) = (item(&mut random), run.node(random.usize(..NODES)));
        let how = write_kind(&mut random);
        match random.u32(..8) {
            0 => run.write_and_leave(&node, item, how, Stage::Received).await,
            1 => {
                run.write_and_leave(&node, item, how, Stage::Committed)
                    .await
            }
            _ => {
                run.write(&node, item, how).await;
            }
        }
        for _ in 0..2 {
            let view = match (how, random.bool()) {
                (WriteKind::Through, true) => View::Through(item),
                (WriteKind::Answered, true) => View::Answered(item),
                _ => View::of(item, random.usize(..KINDS)),
            };
            run.read(&node, view).await;
        }
        let other = run.node(random.usize(..NODES));
        run.read(&other, View::of(item, random.usize(..KINDS)))
            .await;
        sleep(Duration::from_millis(random.u64(..30))).await;
    }
}

/// Records the invalidations that every node applies, until the run has ended.
pub(super) async fn listener(run: Arc<Run>) {
    while !run.has_ended() {
        for slot in 0..NODES {
            let node = run.node(slot);
            run.record_applied(&node).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn item(random: &mut Rng) -> usize {
    if random.bool() {
        0
    } else {
        random.usize(..ITEMS)
    }
}

/// Invalidations of many entries are rare, so that there are entries to invalidate.
fn write_kind(random: &mut Rng) -> WriteKind {
    match random.u32(..50) {
        0 => WriteKind::Everything,
        1 => WriteKind::Versions,
        2..4 => WriteKind::Entities,
        4..8 => WriteKind::Tag,
        8..12 => WriteKind::Patterns,
        12..17 => WriteKind::Around,
        17..22 => WriteKind::Keys,
        22..27 => WriteKind::Declared,
        27..32 => WriteKind::Through,
        32..37 => WriteKind::Answered,
        _ => WriteKind::Route,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
