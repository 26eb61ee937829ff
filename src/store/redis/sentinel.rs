//! A primary, found from any of its Sentinels.

use std::fmt;

use redis::{Client, Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult};
use tokio::time::timeout;

use super::{
    connection::Connection,
    error::{invalid_url, is_outage, timed_out},
    server::{self, CONNECT_TIMEOUT},
};
use crate::error::Error;

/// The Sentinels, and the settings of the primary that they name; `Display` shows hosts only.
#[derive(Clone)]
pub(super) struct Sentinels {
    nodes: Vec<ConnectionInfo>,
    service: String,
    primary: ConnectionInfo,
    root_certificate: Option<Vec<u8>>,
}

impl Sentinels {
    /// Parses `[user:password@]host[:port],host[:port]…/service[/database]`; the credentials are
    /// the primary's.
    pub(super) fn parse(scheme: &str, rest: &str, root: Option<&[u8]>) -> Result<Self, Error> {
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (format!("{credentials}@"), rest),
            None => (String::new(), rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (service, database) = path.split_once('/').unwrap_or((path, ""));
        if service.is_empty() {
            return Err(Error::config(
                "a redis URL with sentinels ends in the primary's name: redis+sentinel://host:26379/mymaster",
            ));
        }
        let nodes = hosts
            .split(',')
            .map(|host| server::parse_info(&format!("{scheme}://{}", with_port(host))))
            .collect::<RedisResult<_>>()
            .map_err(invalid_url)?;
        // Any host will do: the Sentinels name the real one.
        let primary = format!("{scheme}://{credentials}sentinel/{database}");
        Ok(Self {
            nodes,
            service: service.to_owned(),
            primary: server::parse_info(&primary).map_err(invalid_url)?,
            root_certificate: root.map(<[u8]>::to_vec),
        })
    }

    /// The client of the primary that the first Sentinel to answer names.
    pub(super) async fn primary(&self) -> RedisResult<Client> {
        let (mut unknown, mut failed) = (None, None);
        for node in &self.nodes {
            let reply = timeout(CONNECT_TIMEOUT, self.ask(node)).await;
            match reply.unwrap_or_else(|_| Err(timed_out())) {
                Ok(Some((host, port))) => {
                    let info = server::with_host(self.primary.clone(), host, port);
                    return server::client(info, self.root_certificate.as_deref());
                }
                Ok(None) => unknown = Some(unknown_service()),
                Err(error) => failed = Some(error),
            }
        }
        Err(unknown.or(failed).unwrap_or_else(unknown_service))
    }

    /// Connects to the primary. Checks its role, as a Sentinel may not know yet that it was demoted.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let mut connection = server::connect(&self.primary().await?).await?;
        let mut role = Cmd::new();
        role.arg("ROLE");
        let reply = timeout(CONNECT_TIMEOUT, server::send(&mut connection, &role)).await;
        match reply.unwrap_or_else(|_| Err(timed_out())) {
            Ok(role) if !is_primary(&role) => {
                Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into())
            }
            Err(error) if is_outage(&error) => Err(error),
            // If the user may not run ROLE, the Sentinel is believed.
            _ => Ok(Connection::Single(connection)),
        }
    }

    async fn ask(&self, node: &ConnectionInfo) -> RedisResult<Option<(String, u16)>> {
        let sentinel = server::client(node.clone(), self.root_certificate.as_deref())?;
        let mut connection = server::connect(&sentinel).await?;
        redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.service)
            .query_async(&mut connection)
            .await
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.nodes.iter().map(|node| node.addr().to_string());
        let addresses: Vec<_> = addresses.collect();
        write!(f, "{}/{}", addresses.join(","), self.service)
    }
}

fn with_port(host: &str) -> String {
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port {
        host.to_owned()
    } else {
        format!("{host}:26379")
    }
}

fn is_primary(role: &redis::Value) -> bool {
    let redis::Value::Array(role) = role else {
        return false;
    };
    let name = role.first().map(redis::from_redis_value_ref::<String>);
    matches!(name, Some(Ok(name)) if name == "master")
}

fn unknown_service() -> RedisError {
    let message = "no sentinel knows a primary of this name";
    (ErrorKind::InvalidClientConfig, message).into()
}
