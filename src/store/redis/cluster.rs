//! A Cluster, found from any of its nodes.

use std::{fmt, io};

use redis::{Client, ConnectionInfo, RedisError, RedisResult, cluster::ClusterClient};
use tokio::time::timeout;

use super::{
    connection::Connection,
    error::{invalid_url, is_outage},
    server::{self, CONNECT_TIMEOUT},
};
use crate::error::Error;

/// The nodes that the URL lists; `Display` shows their hosts only.
#[derive(Clone)]
pub(super) struct Cluster {
    client: ClusterClient,
    nodes: Vec<ConnectionInfo>,
    root_certificate: Option<Vec<u8>>,
}

impl Cluster {
    /// Parses `[user:password@]host:port,host:port…`.
    pub(super) fn parse(scheme: &str, rest: &str, root: Option<&[u8]>) -> Result<Self, Error> {
        let (credentials, hosts) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = hosts.split_once('/').unwrap_or((hosts, ""));
        if !matches!(path, "" | "0") {
            return Err(Error::config("a redis cluster has database 0 only"));
        }
        let url = |host: &str| format!("{scheme}://{credentials}{host}");
        let nodes = server::parse_list(hosts, url)?;
        Ok(Self {
            client: cluster_client(nodes.clone(), root).map_err(invalid_url)?,
            nodes,
            root_certificate: root.map(<[u8]>::to_vec),
        })
    }

    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let connecting = Box::pin(self.client.get_async_connection());
        // A hanging node is waited for more than once: to connect, and to ask for the slots.
        match timeout(6 * CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => Ok(Connection::Cluster(connection)),
            Ok(Err(error)) => Err(self.first_refusal().await.unwrap_or(error)),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    /// The client of one node, by default of the first that the URL lists.
    pub(super) fn node(&self, node: Option<(&str, u16)>) -> RedisResult<Client> {
        let first = self.nodes[0].clone();
        self.client_of(match node {
            Some((host, port)) => server::with_host(first, host.to_owned(), port),
            None => first,
        })
    }

    fn client_of(&self, info: ConnectionInfo) -> RedisResult<Client> {
        server::client(info, self.root_certificate.as_deref())
    }

    /// The refusal, such as a wrong password, that an I/O error may hide: the Cluster's client
    /// reports every failure to connect as one.
    async fn first_refusal(&self) -> Option<RedisError> {
        for node in &self.nodes {
            let attempt = async {
                let mut connection = server::connect(&self.client_of(node.clone())?).await?;
                redis::cmd("CLUSTER")
                    .arg("SLOTS")
                    .exec_async(&mut connection)
                    .await
            };
            if let Some(error) = attempt.await.err().filter(|error| !is_outage(error)) {
                return Some(error);
            }
        }
        None
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&server::addresses(&self.nodes))
    }
}

#[cfg_attr(not(feature = "tls"), expect(unused_variables))]
fn cluster_client(nodes: Vec<ConnectionInfo>, root: Option<&[u8]>) -> RedisResult<ClusterClient> {
    let builder = ClusterClient::builder(nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(2 * CONNECT_TIMEOUT)
        .overall_response_timeout(None)
        .retries(4)
        .min_retry_wait(5)
        .max_retry_wait(50)
        .tcp_settings(server::tcp_settings());
    #[cfg(feature = "tls")]
    if let Some(root) = root {
        return builder.certs(super::tls::certificates(root)).build();
    }
    builder.build()
}
