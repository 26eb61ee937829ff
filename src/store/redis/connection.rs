//! One connection that commands are sent over.

use std::time::Duration;

use futures_util::future::select_ok;
use redis::{
    Cmd, Pipeline, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster_async::ClusterConnection,
    cluster_routing::{
        MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo,
    },
};

use super::{server, slot::probe_key};

/// A connection to one server or to all nodes of a Cluster; the callers need not know which.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends a command to the primary that owns its key.
    pub(super) async fn send(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => server::send(connection, cmd).await,
            Self::Cluster(connection) => connection.req_packed_command(cmd).await?.extract_error(),
        }
    }

    /// Sends all commands at once, and returns their replies in order, error replies included.
    pub(super) async fn send_all(&mut self, commands: &Pipeline) -> RedisResult<Vec<Value>> {
        let connection: &mut (dyn ConnectionLike + Send) = match self {
            Self::Single(connection) => connection,
            Self::Cluster(connection) => connection,
        };
        let replies = connection.req_packed_commands(commands, 0, commands.len());
        replies.await
    }

    /// Sends a command to one node of a Cluster, for commands without a key; a single server is the
    /// only node.
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
            (connection, _) => connection.send(cmd).await,
        }
    }

    /// Checks that the server answers; in a Cluster, that any primary does.
    pub(super) async fn ping(&mut self) -> RedisResult<Value> {
        let ping = redis::cmd("PING");
        match self {
            Self::Single(connection) => server::send(connection, &ping).await,
            Self::Cluster(connection) => {
                // While a primary has not replied, the Cluster client may hold back a command for
                // several primaries until it gets another command: hence the second ping.
                let pings = [Duration::ZERO, SECOND_PING_AFTER].map(|delay| {
                    let (mut connection, ping) = (connection.clone(), ping.clone());
                    Box::pin(async move {
                        tokio::time::sleep(delay).await;
                        let any = Some(ResponsePolicy::OneSucceeded);
                        let to = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, any));
                        connection.route_command(ping, to).await?.extract_error()
                    })
                });
                select_ok(pings).await.map(|(reply, _)| reply)
            }
        }
    }

    /// Checks that the primary of a slot answers.
    pub(super) async fn ping_slot(&mut self, slot: u16) -> RedisResult<Value> {
        if let Self::Single(_) = self {
            return self.ping().await;
        }
        // A command without a key would be sent to another node if the slot's primary is gone.
        self.send(&Cmd::get(probe_key(slot))).await
    }
}

/// How long a Cluster's primaries have to answer before they are pinged again.
const SECOND_PING_AFTER: Duration = Duration::from_millis(20);
