//! What strikes while they read and write.

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rustix::process::Signal;
use tokio::runtime::Handle;

use super::{
    client, clock,
    database::Stage,
    load::{NODES, Run},
    process::Process,
    stored::Watch,
    wire::{Held, Wire},
    world::{How, ITEMS, MAX_LAG_MILLIS, STRICT, View},
};
use crate::support::{RedisServer, Reply, resp};

/// What may happen, by the names that `KEEP_CHECKER_FAULTS` takes.
pub(super) const ALL: [&str; 16] = [
    "kill-feed",
    "kill-connections",
    "stop-redis",
    "restart-empty",
    "fail-over",
    "split",
    "trim",
    "skip",
    "prune",
    "hold-feed",
    "hold-requests",
    "cut",
    "lose-replies",
    "stop-node",
    "kill-node",
    "leave",
];

const FEED: &str = "cache:keep:{journal}:s";
const STATE: &str = "cache:keep:{journal}:m";
const LATEST: &str = "cache:keep:{journal}:z";

/// All but the latest record, as the journal itself does it to what is beyond its cap.
const PRUNE: &str = "
local head = tonumber(redis.call('HGET', KEYS[1], 'head') or '')
if not head or head < 2 then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', head - 1)
redis.call('HSET', KEYS[1], 'floor', head - 1)
redis.call('XTRIM', KEYS[3], 'MAXLEN', 0)
return head - 1";

/// The Redis of the run, the ways to it, and what may happen to them.
pub(super) struct Faults {
    pub(super) run: Arc<Run>,
    pub(super) redis: RedisServer,
    pub(super) watch: Watch,
    pub(super) wires: Vec<Wire>,
    pub(super) random: Rng,
    pub(super) runtime: Handle,
    pub(super) started: usize,
}

impl Faults {
    /// One after the other, with a calm after each, until `end`. Every one of `names` has its turn.
    pub(super) fn strike(mut self, names: &[String], end: Instant) -> Self {
        let mut left: Vec<&String> = Vec::new();
        while Instant::now() < end {
            if left.is_empty() {
                left = names.iter().collect();
                self.random.shuffle(&mut left);
            }
            if let Some(name) = left.pop() {
                let start = clock::now();
                let what = self.one(name);
                self.run.history().faults.push((start, clock::now(), what));
            }
            if self.random.bool() {
                self.calm(600);
            } else {
                self.hush();
            }
        }
        self
    }

    /// Nobody writes for so long that whatever is older than the database must not be read.
    fn hush(&self) {
        self.run.hush(true);
        sleep(Duration::from_millis(MAX_LAG_MILLIS + 500));
        self.run.hush(false);
    }

    fn one(&mut self, name: &str) -> String {
        match name {
            "kill-feed" => self.kill_feed(),
            "kill-connections" => self.kill_connections(),
            "stop-redis" => self.stop_redis(),
            "restart-empty" => self.restart_empty(),
            "fail-over" => self.fail_over(),
            "split" => self.split(),
            "trim" => self.trim(),
            "skip" => self.skip(),
            "prune" => self.prune(),
            "hold-feed" => self.hold_feed(),
            "hold-requests" => self.hold_requests(),
            "cut" => self.cut(),
            "lose-replies" => self.lose_replies(),
            "stop-node" => self.stop_node(),
            "kill-node" => self.kill_node(),
            "leave" => self.leave(),
            other => panic!("no such fault: {other}; there are {ALL:?}"),
        }
    }

    fn calm(&mut self, most: u64) {
        sleep(Duration::from_millis(self.random.u64(most / 4..most)));
    }

    fn kill_feed(&mut self) -> String {
        let clients = self
            .redis
            .command(&["CLIENT", "LIST", "TYPE", "normal"])
            .text();
        for client in clients
            .lines()
            .filter(|client| client.contains("cmd=xread"))
        {
            let id = client
                .split(' ')
                .find_map(|field| field.strip_prefix("id="));
            self.redis
                .command(&["CLIENT", "KILL", "ID", id.unwrap_or_default()]);
        }
        "feed connections killed".into()
    }

    fn kill_connections(&mut self) -> String {
        let kind = if self.random.bool() {
            "normal"
        } else {
            "pubsub"
        };
        self.redis.command(&["CLIENT", "KILL", "TYPE", kind]);
        format!("{kind} connections killed")
    }

    fn stop_redis(&mut self) -> String {
        self.redis.stop_signal();
        self.calm(2500);
        self.redis.continue_signal();
        "Redis stopped".into()
    }

    fn restart_empty(&mut self) -> String {
        self.redis.kill();
        self.calm(800);
        self.redis.restart();
        // One that began as a replica begins as one again, of a primary that is gone.
        self.redis.command(&["REPLICAOF", "NO", "ONE"]);
        "Redis restarted empty".into()
    }

    /// To a replica that misses the last appends: it becomes a primary while the old one goes on.
    fn fail_over(&mut self) -> String {
        let Some(replica) = self.replica() else {
            return "no replica".into();
        };
        self.calm(200);
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        self.calm(500);
        let port = replica.port();
        self.wires.iter().for_each(|wire| wire.lead_to(port));
        self.watch.lead_to(port);
        self.redis = replica;
        "failed over to a replica that misses the last appends".into()
    }

    /// One process follows the new primary, the others stay with the old one, which may not write
    /// without a replica.
    fn split(&mut self) -> String {
        let Some(replica) = self.replica() else {
            return "no replica".into();
        };
        self.redis
            .command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
        if !soon(|| says(&self.redis, "min_slaves_good_slaves:1")) {
            self.redis
                .command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
            return "no good replica".into();
        }
        self.calm(500);
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        let alone = soon(|| says(&self.redis, "min_slaves_good_slaves:0"));
        let (first, port) = (self.random.usize(..NODES), replica.port());
        if alone {
            self.wires[first].lead_to(port);
            self.calm(2500);
        }
        for (slot, wire) in self.wires.iter().enumerate() {
            if slot != first || !alone {
                wire.lead_to(port);
            }
        }
        self.watch.lead_to(port);
        self.redis = replica;
        let first = self.run.node(first).id;
        format!("split: node {first} follows the new primary, the others the old one")
    }

    /// A replica in step.
    fn replica(&self) -> Option<RedisServer> {
        let replica = RedisServer::builder().replica_of(&self.redis).start();
        soon(|| says(&replica, "master_link_status:up")).then_some(replica)
    }

    fn trim(&mut self) -> String {
        self.redis.command(&["XTRIM", FEED, "MAXLEN", "0"]);
        "feed trimmed".into()
    }

    /// One process does not hear of what others write, the feed loses it, and then that process writes
    /// itself: the answer to its append is far beyond what it has applied.
    fn skip(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        let node = self.run.node(slot);
        self.run.hush(true);
        self.wires[slot].hold(Held {
            feed: true,
            requests: false,
        });
        self.write_elsewhere(slot);
        self.trim();
        self.runtime.block_on(self.run.write(&node, 0, How::Keys));
        self.wires[slot].hold(Held::default());
        self.hush();
        format!("feed of {} held up, and trimmed before it wrote", node.id)
    }

    /// The clients of writes leave before the commit, and nobody writes after them.
    fn leave(&mut self) -> String {
        self.run.hush(true);
        self.calm(100);
        for item in 0..ITEMS {
            let node = self.run.node(self.random.usize(..NODES));
            let left = self
                .run
                .write_and_leave(&node, item, How::Route, Stage::Received);
            self.runtime.block_on(left);
        }
        self.hush();
        "clients left before the commit".into()
    }

    /// While one process hears of nothing, others write, and what they named is pruned: when it comes
    /// back, the floor is all that is left to tell it.
    fn prune(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.wires[slot].hold(Held {
            feed: true,
            requests: true,
        });
        self.run.hush(true);
        self.write_elsewhere(slot);
        let pruned = self
            .redis
            .command(&["EVAL", PRUNE, "3", STATE, LATEST, FEED]);
        self.wires[slot].hold(Held::default());
        self.hush();
        let id = self.run.node(slot).id;
        format!("pruned up to {} while node {id} was held up", pruned.text())
    }

    fn hold_feed(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.wires[slot].hold(Held {
            feed: true,
            requests: false,
        });
        self.calm(2500);
        self.wires[slot].hold(Held::default());
        format!("feed of {} held up", self.run.node(slot).id)
    }

    /// What is stored arrives when others have stored something later.
    fn hold_requests(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.wires[slot].hold(Held {
            feed: false,
            requests: true,
        });
        self.calm(1500);
        self.wires[slot].hold(Held::default());
        format!("requests of {} held up", self.run.node(slot).id)
    }

    fn cut(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.wires[slot].cut();
        format!("connections of {} cut", self.run.node(slot).id)
    }

    fn lose_replies(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.wires[slot].lose_replies(true);
        self.calm(400);
        self.wires[slot].lose_replies(false);
        format!("replies to {} lost", self.run.node(slot).id)
    }

    /// In the middle of a proof of freshness, or wherever it is. Meanwhile others write, and when it
    /// goes on it has been asked already.
    fn stop_node(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        let node = self.run.node(slot);
        let amid = self.random.bool();
        if amid {
            self.redis.stop_signal();
            sleep(Duration::from_millis(self.random.u64(20..95)));
        }
        node.signal(Signal::STOP);
        if amid {
            self.redis.continue_signal();
            self.kill_feed();
        }
        self.write_elsewhere(slot);
        let time = if self.random.bool() {
            5000
        } else {
            self.random.u64(1200..5000)
        };
        sleep(Duration::from_millis(time));
        for view in View::all() {
            let (run, node) = (Arc::clone(&self.run), Arc::clone(&node));
            self.runtime
                .spawn(async move { run.read(&node, view).await });
        }
        sleep(Duration::from_millis(20));
        node.signal(Signal::CONT);
        let amid = if amid { " amid a proof" } else { "" };
        format!("node {} stopped{amid}", node.id)
    }

    fn write_elsewhere(&self, slot: usize) {
        let node = self.run.node((slot + 1) % NODES);
        for item in 0..ITEMS {
            self.runtime
                .block_on(self.run.write(&node, item, How::Route));
        }
    }

    /// Between the commit and the append of a declared write. What else it has written must be in
    /// the journal before: a process that dies loses what it did not declare.
    fn kill_node(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        let node = self.run.node(slot);
        let (token, item) = (self.run.token(), self.random.usize(..ITEMS));
        // Its own write is the last that may begin.
        let begun = node.begin(token);
        node.close(true);
        node.end(token);
        if !begun || !soon(|| node.is_finished()) {
            node.close(false);
            return "nobody killed".into();
        }
        let (killed, port) = (Arc::clone(&node), self.redis.port());
        self.run.database.at_commit(token, move || {
            // With Redis out of reach the write was not declared, and nothing is promised.
            if is_declared(port, token) {
                killed.signal(Signal::KILL);
            }
        });
        let start = clock::now();
        let path = How::Declared.path(item, token);
        let answer = self
            .runtime
            .block_on(client::ask(node.address, "PUT", &path));
        self.run
            .written(&node, token, How::Declared, start, answer.as_ref());
        if answer.is_some() {
            node.close(false);
            return "nobody killed".into();
        }
        self.started += 1;
        let url = self.wires[slot].url();
        let next = Process::start(self.started, &url, self.run.database.address, STRICT);
        self.run.replace(slot, next);
        format!(
            "node {} killed after the commit of write {token}; node {} begins",
            node.id, self.started
        )
    }
}

/// Whether it comes true within a few seconds; on a busy machine it may not.
fn soon(condition: impl Fn() -> bool) -> bool {
    let patience = Instant::now() + Duration::from_secs(5);
    while !condition() {
        if Instant::now() > patience {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
    true
}

fn says(server: &RedisServer, state: &str) -> bool {
    let states = server.command(&["INFO", "replication"]).text();
    states.contains(state)
}

fn is_declared(port: u16, token: u64) -> bool {
    let state = resp::command(port, &["HGETALL", STATE]);
    let Ok(Reply::Array(fields)) = state else {
        return false;
    };
    let name = format!("k:write:{token}");
    fields.iter().any(|field| field.text().contains(&name))
}
