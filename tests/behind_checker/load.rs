//! Clients: some write until they are accepted, others read.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::time::sleep;

use super::{
    database::Database,
    history::{Accepted, History, Shown},
    node::Node,
};
use crate::common::{clock, one_shot_client as client};

pub(super) const NODES: usize = 3;
pub(super) const KEYS: usize = 5;

pub(super) struct Run {
    pub(super) database: Database,
    nodes: Mutex<Vec<Arc<Node>>>,
    history: Mutex<History>,
    ended: AtomicBool,
}

impl Run {
    pub(super) fn new(database: Database, nodes: Vec<Arc<Node>>) -> Arc<Self> {
        Arc::new(Self {
            database,
            nodes: Mutex::new(nodes),
            history: Mutex::default(),
            ended: AtomicBool::new(false),
        })
    }

    pub(super) fn node(&self, slot: usize) -> Arc<Node> {
        Arc::clone(&lock(&self.nodes)[slot])
    }

    pub(super) fn replace(&self, slot: usize, node: Node) {
        lock(&self.nodes)[slot] = Arc::new(node);
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Reads once and records what is shown.
    pub(super) async fn read(&self, node: &Node, key: usize) -> Option<()> {
        let start = clock::now();
        let path = format!("/lists/{key}");
        let response = client::ask(node.address, "GET", &path).await?;
        let end = clock::now();
        if !response.is_success() {
            return None;
        }
        let rows: serde_json::Value = serde_json::from_str(&response.body).ok()?;
        let tokens = rows.as_array()?.iter();
        let tokens = tokens.filter_map(|row| Some(row["id"].as_str()?.to_owned()));
        let status: Vec<&str> = response.lines_of("cache-status").collect();
        let status = status.join(", ");
        self.history().shown.push(Shown {
            node: node.id,
            key,
            start,
            end,
            tokens: tokens.collect(),
            is_unknown: status.contains("pending-unknown"),
            status,
        });
        Some(())
    }

    /// Sends a write with the same idempotency key until it is accepted.
    async fn write(&self, key: usize, token: &str, random: &mut Rng) {
        let sent = clock::now();
        loop {
            let node = self.node(random.usize(..NODES));
            let body = format!("{{\"id\":\"{token}\"}}");
            let fields =
                format!("idempotency-key: \"{token}\"\r\ncontent-type: application/json\r\n");
            let path = format!("/lists/{key}");
            let answer = client::send(PATIENCE, node.address, "POST", &path, &fields, &body).await;
            let location = answer.as_ref().and_then(|answer| answer.field("location"));
            if let Some(id) = location.and_then(|location| location.rsplit('/').next()) {
                self.history().accepted.push(Accepted {
                    key,
                    token: token.into(),
                    id: id.into(),
                    node: node.id,
                    sent,
                    answered: clock::now(),
                });
                return;
            }
            if self.has_ended() {
                return;
            }
            sleep(Duration::from_millis(random.u64(10..60))).await;
        }
    }
}

/// Writes, reads, and sometimes sends the same write once more.
pub(super) async fn writer(run: Arc<Run>, mut random: Rng, writer: u64) {
    let mut count = 0;
    while !run.has_ended() {
        count += 1;
        let key = if random.bool() {
            0
        } else {
            random.usize(..KEYS)
        };
        let refused = if random.u32(..20) == 0 { "x" } else { "" };
        let token = format!("w{writer}-{count}{refused}");
        run.write(key, &token, &mut random).await;
        if random.u32(..4) == 0 {
            run.write(key, &token, &mut random).await;
        }
        let node = run.node(random.usize(..NODES));
        run.read(&node, key).await;
        sleep(Duration::from_millis(random.u64(..80))).await;
    }
}

pub(super) async fn reader(run: Arc<Run>, mut random: Rng) {
    while !run.has_ended() {
        let node = run.node(random.usize(..NODES));
        run.read(&node, random.usize(..KEYS)).await;
        sleep(Duration::from_millis(random.u64(..25))).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PATIENCE: Duration = Duration::from_secs(3);
