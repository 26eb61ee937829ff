//! Faults while writes are accepted and applied.

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rustix::process::Signal;

use super::{
    history::Fault,
    load::{NODES, Run},
    node::Node,
};
use crate::{
    common::{clock, faulty_proxy::FaultyProxy},
    support::RedisServer,
};

/// The faults, by the names in `BEHIND_CHECKER_FAULTS`.
pub(super) const ALL: [&str; 9] = [
    "kill-node",
    "stop-node",
    "cut",
    "lose-replies",
    "hold-requests",
    "stop-redis",
    "flush",
    "fail-over",
    "script-flush",
];

/// The Redis of the run, the connections to it, and their faults.
pub(super) struct Faults {
    pub(super) run: Arc<Run>,
    pub(super) redis: RedisServer,
    pub(super) proxies: Vec<FaultyProxy>,
    pub(super) random: Rng,
    pub(super) started: usize,
}

impl Faults {
    /// Runs the faults of `names` in random order, with a pause after each, until `end`.
    pub(super) fn inject_all(mut self, names: &[String], end: Instant) -> Self {
        let mut left: Vec<&String> = Vec::new();
        while Instant::now() < end {
            if left.is_empty() {
                left = names.iter().collect();
                self.random.shuffle(&mut left);
            }
            if let Some(name) = left.pop() {
                let start = clock::now();
                let node = self.inject(name);
                self.run.history().faults.push(Fault {
                    what: name.clone(),
                    start,
                    end: clock::now(),
                    node,
                    loses: matches!(name.as_str(), "flush" | "fail-over"),
                });
            }
            self.pause(700);
        }
        self
    }

    /// The node that was stopped or killed, if any.
    fn inject(&mut self, name: &str) -> Option<usize> {
        let slot = self.random.usize(..NODES);
        match name {
            "kill-node" => return Some(self.kill_node(slot)),
            "stop-node" => return Some(self.stop_node(slot)),
            "cut" => self.proxies[slot].cut(),
            "lose-replies" => {
                self.proxies[slot].lose_replies(true);
                self.pause(400);
                self.proxies[slot].lose_replies(false);
            }
            "hold-requests" => {
                self.proxies[slot].hold(crate::common::faulty_proxy::Delayed {
                    feed: false,
                    requests: true,
                });
                self.pause(1_500);
                self.proxies[slot].hold(Default::default());
            }
            "stop-redis" => {
                self.redis.stop_signal();
                self.pause(1_500);
                self.redis.continue_signal();
            }
            "flush" => {
                self.redis.command(&["FLUSHALL"]);
            }
            "script-flush" => {
                self.redis.command(&["SCRIPT", "FLUSH"]);
            }
            "fail-over" => self.fail_over(),
            other => panic!("no such fault: {other}; there are {ALL:?}"),
        }
        None
    }

    fn kill_node(&mut self, slot: usize) -> usize {
        let node = self.run.node(slot);
        node.signal(Signal::KILL);
        self.started += 1;
        let url = self.proxies[slot].url();
        let next = Node::start(self.started, &url, self.run.database.address);
        self.run.replace(slot, next);
        node.id
    }

    /// Longer than its leases, most of the time.
    fn stop_node(&mut self, slot: usize) -> usize {
        let node = self.run.node(slot);
        node.signal(Signal::STOP);
        self.pause(5_000);
        node.signal(Signal::CONT);
        node.id
    }

    /// Fails over to a replica, which may lack the last writes.
    fn fail_over(&mut self) {
        let replica = RedisServer::builder().replica_of(&self.redis).start();
        let patience = Instant::now() + Duration::from_secs(5);
        let is_up = || {
            let state = replica.command(&["INFO", "replication"]).text();
            state.contains("master_link_status:up")
        };
        while !is_up() {
            if Instant::now() > patience {
                return;
            }
            sleep(Duration::from_millis(5));
        }
        self.pause(200);
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        self.pause(300);
        for proxy in &self.proxies {
            proxy.lead_to(replica.port());
        }
        self.redis = replica;
    }

    fn pause(&mut self, most: u64) {
        sleep(Duration::from_millis(self.random.u64(most / 4..most)));
    }
}
