//! A node, and its unfinished writes.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use rustix::process::Signal;

use super::node::SETTINGS;
use crate::common::node_process::NodeProcess;

/// This test executable, run as a node.
#[derive(Debug)]
pub(super) struct Process {
    node: NodeProcess,
    pub(super) address: SocketAddr,
    /// Its number among all nodes that were ever started.
    pub(super) id: usize,
    unfinished: Mutex<Unfinished>,
}

#[derive(Debug, Default)]
struct Unfinished {
    tokens: HashSet<u64>,
    closed: bool,
}

impl Process {
    /// `store` has the lines of `[store]` in its table.
    pub(super) fn start(id: usize, redis: &str, database: SocketAddr, store: &str) -> Self {
        let settings = format!("{redis} {database}\n{store}");
        let node = NodeProcess::start("checker::node::process", SETTINGS, &settings);
        Self {
            address: node.address,
            node,
            id,
            unfinished: Mutex::default(),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.node.signal(signal);
    }

    /// Registers a write that will be sent to this node; false if no more may be.
    pub(super) fn begin(&self, token: u64) -> bool {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        !unfinished.closed && unfinished.tokens.insert(token)
    }

    /// Marks the write's invalidation as being in the journal.
    pub(super) fn end(&self, token: u64) {
        let mut unfinished = self
            .unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unfinished.tokens.remove(&token);
    }

    /// Stops or resumes new writes at this node.
    pub(super) fn close(&self, yes: bool) {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = yes;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .tokens
            .is_empty()
    }
}
