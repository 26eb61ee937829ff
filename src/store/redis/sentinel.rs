//! A primary, found from any of its Sentinels.

use std::fmt;

use redis::{Client, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};

use super::{
    connection::Connection,
    error::{invalid_url, is_outage},
    server::{self, CONNECT_TIMEOUT, with_timeout},
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
        let (credentials, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (service, database) = path.split_once('/').unwrap_or((path, ""));
        if service.is_empty() {
            return Err(Error::config(
                "a redis URL with sentinels ends in the primary's name: redis+sentinel://host:26379/mymaster",
            ));
        }
        let url = |host: &str| format!("{scheme}://{}", with_port(host));
        // A placeholder host, replaced by the one that the Sentinels name.
        let primary = format!("{scheme}://{credentials}sentinel/{database}");
        Ok(Self {
            nodes: server::parse_list(hosts, url)?,
            service: service.to_owned(),
            primary: server::parse_info(&primary).map_err(invalid_url)?,
            root_certificate: root.map(<[u8]>::to_vec),
        })
    }

    /// The client of the primary that the first Sentinel to answer names.
    pub(super) async fn primary(&self) -> RedisResult<Client> {
        let (mut unknown, mut failed) = (None, None);
        for node in &self.nodes {
            match with_timeout(CONNECT_TIMEOUT, self.ask(node)).await {
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

    /// Connects to the primary. Checks its role, because the Sentinel may not know yet that the server
    /// was demoted.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        let mut connection = server::connect(&self.primary().await?).await?;
        let role = redis::cmd("ROLE");
        match with_timeout(CONNECT_TIMEOUT, server::send(&mut connection, &role)).await {
            Ok(role) if !is_primary(&role) => {
                Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into())
            }
            Err(error) if is_outage(&error) => Err(error),
            // If the user may not run ROLE, trust the Sentinel.
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
        write!(f, "{}/{}", server::addresses(&self.nodes), self.service)
    }
}

fn with_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => host.to_owned(),
        _ => format!("{host}:26379"),
    }
}

fn is_primary(role: &Value) -> bool {
    let name = role.as_sequence().and_then(|role| role.first());
    let name = name.map(redis::from_redis_value_ref::<String>);
    matches!(name, Some(Ok(name)) if name == "master")
}

fn unknown_service() -> RedisError {
    let message = "no sentinel knows a primary of this name";
    (ErrorKind::InvalidClientConfig, message).into()
}
