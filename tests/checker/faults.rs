//! Faults during reads and writes.

use std::{
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rustix::process::Signal;
use tokio::runtime::Handle;

use super::{
    database::Stage,
    load::{NODES, Run},
    process::Process,
    stored::Monitor,
    world::{ITEMS, MAX_LAG_MILLIS, STRICT, View, WriteKind},
};
use crate::common::{
    clock,
    faulty_proxy::{Delayed, FaultyProxy},
    one_shot_client as client,
};
use crate::support::{RedisServer, Reply, resp};

/// The faults, by the names in `KEEP_CHECKER_FAULTS`.
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

/// Trims all but the latest record, as the journal does beyond its cap.
const PRUNE: &str = "
local head = tonumber(redis.call('HGET', KEYS[1], 'head') or '')
if not head or head < 2 then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', head - 1)
redis.call('HSET', KEYS[1], 'floor', head - 1)
redis.call('XTRIM', KEYS[3], 'MAXLEN', 0)
return head - 1";

/// The Redis of the run, the connections to it, and their faults.
pub(super) struct Faults {
    pub(super) run: Arc<Run>,
    pub(super) redis: RedisServer,
    pub(super) monitor: Monitor,
    pub(super) proxies: Vec<FaultyProxy>,
    pub(super) random: Rng,
    pub(super) runtime: Handle,
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
                let what = self.inject(name);
                self.run.history().faults.push((start, clock::now(), what));
            }
            if self.random.bool() {
                self.pause(600);
            } else {
                self.pause_writers();
            }
        }
        self
    }

    /// Pauses the writers until no read may return an older version than the database has.
    fn pause_writers(&self) {
        self.run.pause_writers(true);
        sleep(Duration::from_millis(MAX_LAG_MILLIS + 500));
        self.run.pause_writers(false);
    }

    fn inject(&mut self, name: &str) -> String {
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

    fn pause(&mut self, most: u64) {
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
        self.pause(2500);
        self.redis.continue_signal();
        "Redis stopped".into()
    }

    fn restart_empty(&mut self) -> String {
        self.redis.kill();
        self.pause(800);
        self.redis.restart();
        // A former replica starts as a replica again, of a primary that no longer exists.
        self.redis.command(&["REPLICAOF", "NO", "ONE"]);
        "Redis restarted empty".into()
    }

    /// Fails over to a replica without the last appends, while the old primary goes on.
    fn fail_over(&mut self) -> String {
        let Some(replica) = self.replica() else {
            return "no replica".into();
        };
        self.pause(200);
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        self.pause(500);
        let port = replica.port();
        self.proxies.iter().for_each(|wire| wire.lead_to(port));
        self.monitor.lead_to(port);
        self.redis = replica;
        "failed over to a replica that misses the last appends".into()
    }

    /// One process uses the new primary, the others stay with the old one, which must not write
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
        self.pause(500);
        replica.command(&["REPLICAOF", "NO", "ONE"]);
        let alone = soon(|| says(&self.redis, "min_slaves_good_slaves:0"));
        let (first, port) = (self.random.usize(..NODES), replica.port());
        if alone {
            self.proxies[first].lead_to(port);
            self.pause(2500);
        }
        for (slot, wire) in self.proxies.iter().enumerate() {
            if slot != first || !alone {
                wire.lead_to(port);
            }
        }
        self.monitor.lead_to(port);
        self.redis = replica;
        let first = self.run.node(first).id;
        format!("split: node {first} follows the new primary, the others the old one")
    }

    /// A synchronised replica.
    fn replica(&self) -> Option<RedisServer> {
        let replica = RedisServer::builder().replica_of(&self.redis).start();
        soon(|| says(&replica, "master_link_status:up")).then_some(replica)
    }

    fn trim(&mut self) -> String {
        self.redis.command(&["XTRIM", FEED, "MAXLEN", "0"]);
        "feed trimmed".into()
    }

    /// One process misses the writes of others, the feed loses them, and then that process writes
    /// itself: the position of its append is far beyond what it has applied.
    fn skip(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        let node = self.run.node(slot);
        self.run.pause_writers(true);
        self.proxies[slot].hold(Delayed {
            feed: true,
            requests: false,
        });
        self.write_elsewhere(slot);
        self.trim();
        self.runtime
            .block_on(self.run.write(&node, 0, WriteKind::Keys));
        self.proxies[slot].hold(Delayed::default());
        self.pause_writers();
        format!("feed of {} held up, and trimmed before it wrote", node.id)
    }

    /// The clients of writes leave before the commit, and no writes follow.
    fn leave(&mut self) -> String {
        self.run.pause_writers(true);
        self.pause(100);
        for item in 0..ITEMS {
            let node = self.run.node(self.random.usize(..NODES));
            let left = self
                .run
                .write_and_leave(&node, item, WriteKind::Route, Stage::Received);
            self.runtime.block_on(left);
        }
        self.pause_writers();
        "clients left before the commit".into()
    }

    /// While one process receives nothing, others write and the records are pruned: when it comes back,
    /// only the floor of the journal shows what it missed.
    fn prune(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.proxies[slot].hold(Delayed {
            feed: true,
            requests: true,
        });
        self.run.pause_writers(true);
        self.write_elsewhere(slot);
        let pruned = self
            .redis
            .command(&["EVAL", PRUNE, "3", STATE, LATEST, FEED]);
        self.proxies[slot].hold(Delayed::default());
        self.pause_writers();
        let id = self.run.node(slot).id;
        format!("pruned up to {} while node {id} was held up", pruned.text())
    }

    fn hold_feed(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.proxies[slot].hold(Delayed {
            feed: true,
            requests: false,
        });
        self.pause(2500);
        self.proxies[slot].hold(Delayed::default());
        format!("feed of {} held up", self.run.node(slot).id)
    }

    /// Entries arrive in Redis after later ones have been stored.
    fn hold_requests(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.proxies[slot].hold(Delayed {
            feed: false,
            requests: true,
        });
        self.pause(1500);
        self.proxies[slot].hold(Delayed::default());
        format!("requests of {} held up", self.run.node(slot).id)
    }

    fn cut(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.proxies[slot].cut();
        format!("connections of {} cut", self.run.node(slot).id)
    }

    fn lose_replies(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        self.proxies[slot].lose_replies(true);
        self.pause(400);
        self.proxies[slot].lose_replies(false);
        format!("replies to {} lost", self.run.node(slot).id)
    }

    /// Stops a process at any point, such as during a proof of freshness. Meanwhile others write, and
    /// requests are waiting when it continues.
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
                .block_on(self.run.write(&node, item, WriteKind::Route));
        }
    }

    /// Kills a process between the commit and the append of a declared write. Its other writes must be in
    /// the journal before, as a process that dies loses what it did not declare.
    fn kill_node(&mut self) -> String {
        let slot = self.random.usize(..NODES);
        let node = self.run.node(slot);
        let (token, item) = (self.run.token(), self.random.usize(..ITEMS));
        // Its own write is the last to begin.
        let begun = node.begin(token);
        node.close(true);
        node.end(token);
        if !begun || !soon(|| node.is_finished()) {
            node.close(false);
            return "no process killed".into();
        }
        let (killed, port) = (Arc::clone(&node), self.redis.port());
        self.run.database.at_commit(token, move || {
            // With Redis unreachable the write was not declared, and nothing is guaranteed.
            if is_declared(port, token) {
                killed.signal(Signal::KILL);
            }
        });
        let start = clock::now();
        let path = WriteKind::Declared.path(item, token);
        let response = self
            .runtime
            .block_on(client::ask(node.address, "PUT", &path));
        self.run
            .written(&node, token, WriteKind::Declared, start, response.as_ref());
        if response.is_some() {
            node.close(false);
            return "no process killed".into();
        }
        self.started += 1;
        let url = self.proxies[slot].url();
        let next = Process::start(self.started, &url, self.run.database.address, STRICT);
        self.run.replace(slot, next);
        format!(
            "node {} killed after the commit of write {token}; node {} begins",
            node.id, self.started
        )
    }
}

/// Whether the condition holds within a few seconds; on a busy machine it may not.
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
