//! A Redis Cluster of three primaries.

use super::{resp::Reply, server::RedisServer, wait::wait_for};

/// Three primaries, 16384 slots, no replicas.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    nodes: Vec<RedisServer>,
}

const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

impl RedisCluster {
    /// Takes two to three seconds: a primary waits that long before it accepts writes.
    ///
    /// # Panics
    ///
    /// When `redis-server` (7.0 or later) is not installed.
    pub(crate) fn start() -> Self {
        let node = || RedisServer::builder().cluster_node().start();
        let nodes: Vec<_> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..3).map(|_| scope.spawn(node)).collect();
            starting
                .into_iter()
                .map(|node| node.join().expect("redis-server starts"))
                .collect()
        });
        let cluster = Self { nodes };
        cluster.form();
        cluster
    }

    pub(crate) fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    pub(crate) fn node_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.nodes[index]
    }

    /// `redis+cluster://` with every node.
    pub(crate) fn url(&self) -> String {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    /// The index of the primary that serves the slot of `key`.
    pub(crate) fn owner(&self, key: &str) -> usize {
        self.nodes
            .iter()
            .position(|node| !matches!(node.command(&["GET", key]), Reply::Error(_)))
            .expect("a primary owns every slot")
    }

    pub(crate) fn slot(&self, key: &str) -> String {
        self.nodes[0].command(&["CLUSTER", "KEYSLOT", key]).text()
    }

    pub(crate) fn id(&self, index: usize) -> String {
        self.nodes[index].command(&["CLUSTER", "MYID"]).text()
    }

    /// Begins to move the slot of `key`: its owner replies `ASK` for keys that it does not have.
    pub(crate) fn begin_move(&self, key: &str, from: usize, to: usize) {
        let slot = self.slot(key);
        let importing = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)];
        self.nodes[to].command(&importing);
        let migrating = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)];
        self.nodes[from].command(&migrating);
    }

    /// Ends the move: the former owner replies `MOVED`. Its slot must be empty.
    pub(crate) fn end_move(&self, key: &str, to: usize) {
        let (slot, id) = (self.slot(key), self.id(to));
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        for node in &self.nodes {
            node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    /// Starts a replica of a primary and waits until it can be promoted.
    pub(crate) fn add_replica(&self, of: usize) -> RedisServer {
        let replica = RedisServer::builder().cluster_node().start();
        let id = self.id(of);
        self.meet(&replica);
        wait_for("the replica to know its primary", || {
            replica.command(&["CLUSTER", "REPLICATE", &id]) == Reply::Status("OK".into())
        });
        wait_for("the replica to be known and in step", || {
            let info = replica.command(&["INFO", "replication"]).text();
            let known =
                |node: &RedisServer| node.command(&["CLUSTER", "NODES"]).text().contains("slave");
            info.contains("master_link_status:up") && self.nodes.iter().all(known)
        });
        replica
    }

    fn meet(&self, node: &RedisServer) {
        let (port, bus) = (node.port().to_string(), bus_port(node));
        self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    }

    fn form(&self) {
        for (index, (node, (first, last))) in self.nodes.iter().zip(SLOTS).enumerate() {
            let epoch = (index + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            node.command(&[
                "CLUSTER",
                "ADDSLOTSRANGE",
                &first.to_string(),
                &last.to_string(),
            ]);
        }
        for node in &self.nodes[1..] {
            self.meet(node);
        }
        for node in &self.nodes {
            wait_for("the cluster to form", || {
                let info = node.command(&["CLUSTER", "INFO"]).text();
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains("cluster_known_nodes:3")
            });
        }
    }
}

fn bus_port(node: &RedisServer) -> String {
    let reply = node.command(&["CONFIG", "GET", "cluster-port"]);
    reply.strings().pop().expect("name and value")
}
