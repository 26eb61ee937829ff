//! One connection out of the few that a process has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::future::select_ok;
use redis::{
    Cmd, Pipeline, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
    cluster_routing::{
        MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo,
    },
};

use super::{gather::Gathering, topology};

/// How long connecting, with TLS and credentials, may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a Cluster's primaries have to answer before they are asked again.
const NUDGE: Duration = Duration::from_millis(20);

/// What the commands go over; nothing above can tell which.
#[derive(Clone)]
pub(super) enum Wire {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Wire {
    /// Sends to where the command's key lies.
    pub(super) async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => ask(connection, cmd).await,
            Self::Cluster(connection) => connection.req_packed_command(cmd).await?.extract_error(),
        }
    }

    /// Sends all of them at once; an error reply stands in its command's place.
    pub(super) async fn send_all(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single(connection) => {
                connection
                    .send_packed_commands(commands, 0, commands.len())
                    .await
            }
            Self::Cluster(connection) => {
                connection
                    .req_packed_commands(commands, 0, commands.len())
                    .await
            }
        }
    }

    /// Asks whether anybody is there: of a Cluster any primary will do.
    pub(super) async fn ping(&mut self) -> RedisResult<Value> {
        let mut ping = Cmd::new();
        ping.arg("PING");
        match self {
            Self::Single(connection) => ask(connection, &ping).await,
            Self::Cluster(connection) => {
                // While a primary owes it a reply, the client may leave a command for several of
                // them lying until it is asked for something else: so it is asked again.
                let asked = [Duration::ZERO, NUDGE].map(|after| {
                    let (mut connection, ping) = (connection.clone(), ping.clone());
                    Box::pin(async move {
                        tokio::time::sleep(after).await;
                        let any = Some(ResponsePolicy::OneSucceeded);
                        let to = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, any));
                        connection.route_command(ping, to).await?.extract_error()
                    })
                });
                select_ok(asked).await.map(|(reply, _)| reply)
            }
        }
    }

    /// Asks whether the primary of a slot is there.
    pub(super) async fn ping_slot(&mut self, slot: u16) -> RedisResult<Value> {
        if let Self::Single(_) = self {
            return self.ping().await;
        }
        // A command without a key is sent to any node when that of its slot is gone, and answered
        // there.
        let mut get = Cmd::new();
        get.arg("GET").arg(topology::probe_key(slot));
        self.send(&get).await
    }

    /// Sends to a node of a Cluster, for what has no key of its own; a single server is the only one.
    pub(super) async fn send_to(
        &mut self,
        node: Option<(&str, u16)>,
        cmd: &Cmd,
    ) -> RedisResult<Value> {
        match (self, node) {
            (Self::Cluster(connection), Some((host, port))) => {
                let host = host.to_owned();
                let to = RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress { host, port });
                let reply = connection.route_command(cmd.clone(), to).await;
                reply?.extract_error()
            }
            (wire, _) => wire.send(cmd).await,
        }
    }
}

/// The connections of a process; which is taken goes round.
pub(super) struct Links {
    slots: Box<[Slot]>,
    next: AtomicUsize,
}

/// The place of one connection after the other.
#[derive(Default)]
struct Slot {
    link: ArcSwapOption<Link>,
    /// There is a connection, and it is not known to be broken.
    usable: AtomicBool,
    gathering: Gathering,
}

struct Link {
    wire: Wire,
    /// To be replaced when that can be done.
    outdated: AtomicBool,
}

/// One command over one connection; an error reply is an error.
pub(super) async fn ask(connection: &mut MultiplexedConnection, cmd: &Cmd) -> RedisResult<Value> {
    connection.send_packed_command(cmd).await?.extract_error()
}

impl Links {
    pub(super) fn new(count: usize) -> Self {
        Self {
            slots: (0..count).map(|_| Slot::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number of the next connection that is not known to be broken.
    pub(super) fn pick(&self) -> Option<usize> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        (0..self.len())
            .map(|step| start.wrapping_add(step) % self.len())
            .find(|index| self.slots[*index].usable.load(Ordering::Relaxed))
    }

    /// Connection `index`, unless it is known to be broken.
    pub(super) fn wire(&self, index: usize) -> Option<Wire> {
        let slot = &self.slots[index];
        if !slot.usable.load(Ordering::Relaxed) {
            return None;
        }
        slot.link.load().as_ref().map(|link| link.wire.clone())
    }

    /// What gathers before connection `index`.
    pub(super) fn gathering(&self, index: usize) -> &Gathering {
        &self.slots[index].gathering
    }

    pub(super) fn set(&self, index: usize, wire: Wire) {
        let slot = &self.slots[index];
        slot.link.store(Some(Arc::new(Link {
            wire,
            outdated: AtomicBool::new(false),
        })));
        slot.usable.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_outdated(&self, index: usize) -> bool {
        let link = self.slots[index].link.load();
        link.as_ref()
            .is_some_and(|link| link.outdated.load(Ordering::Relaxed))
    }

    /// The address may lead to another server by now; until it is known, this one will do.
    pub(super) fn mark_outdated(&self, index: usize) {
        if let Some(link) = &*self.slots[index].link.load() {
            link.outdated.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn mark_all_outdated(&self) {
        (0..self.len()).for_each(|index| self.mark_outdated(index));
    }

    pub(super) fn mark_broken(&self, index: usize) {
        self.slots[index].usable.store(false, Ordering::Relaxed);
    }
}
