//! A primary that Sentinels name.

use redis::{Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult};
use tokio::time::timeout;

use super::{
    address::{client, info, multiplexed, timed_out, wrong_url},
    link::{CONNECT_TIMEOUT, Wire, ask},
};
use crate::error::Error;

/// Where the Sentinels are, and how the primary that they name is spoken to.
#[derive(Clone)]
pub(super) struct Sentinels {
    nodes: Vec<ConnectionInfo>,
    service: String,
    primary: ConnectionInfo,
    root_certificate: Option<Vec<u8>>,
}

impl Sentinels {
    /// `[user:password@]host[:port],host[:port]…/service[/database]`; the credentials are for the
    /// primary.
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
            .map(|host| info(&format!("{scheme}://{}", with_port(host))))
            .collect::<RedisResult<_>>()
            .map_err(wrong_url)?;
        // Any host will do: the Sentinels say which it is.
        let primary = format!("{scheme}://{credentials}sentinel/{database}");
        Ok(Self {
            nodes,
            service: service.to_owned(),
            primary: info(&primary).map_err(wrong_url)?,
            root_certificate: root.map(<[u8]>::to_vec),
        })
    }

    /// The client of the primary as the first Sentinel that answers names it.
    pub(super) async fn primary(&self) -> RedisResult<Client> {
        let (mut unknown, mut failed) = (None, None);
        for node in &self.nodes {
            let asked = timeout(CONNECT_TIMEOUT, self.ask(node)).await;
            match asked.unwrap_or_else(|_| Err(timed_out())) {
                Ok(Some((host, port))) => return self.client(host, port),
                Ok(None) => unknown = Some(unknown_service()),
                Err(error) => failed = Some(error),
            }
        }
        Err(unknown.or(failed).unwrap_or_else(unknown_service))
    }

    /// Connects to the primary. A Sentinel may not have heard yet that it is one no longer.
    pub(super) async fn connect(&self) -> RedisResult<Wire> {
        let mut connection = multiplexed(&self.primary().await?).await?;
        let role = timeout(
            CONNECT_TIMEOUT,
            ask(&mut connection, Cmd::new().arg("ROLE")),
        )
        .await;
        match role.unwrap_or_else(|_| Err(timed_out())) {
            Ok(role) if !is_primary(&role) => {
                Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into())
            }
            Err(error) if super::fault::is_outage(&error) => Err(error),
            // A user who may not ask takes the Sentinel's word.
            _ => Ok(Wire::Single(connection)),
        }
    }

    async fn ask(&self, node: &ConnectionInfo) -> RedisResult<Option<(String, u16)>> {
        let sentinel = client(node.clone(), self.root_certificate.as_deref())?;
        let mut connection = multiplexed(&sentinel).await?;
        let mut question = Cmd::new();
        question.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME");
        question.arg(&self.service);
        question.query_async(&mut connection).await
    }

    fn client(&self, host: String, port: u16) -> RedisResult<Client> {
        let addr = match self.primary.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let info = self.primary.clone().set_addr(addr);
        client(info, self.root_certificate.as_deref())
    }

    /// For people to read.
    pub(super) fn to_text(&self) -> String {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.addr().to_string())
            .collect();
        format!("{}/{}", nodes.join(","), self.service)
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
    let what = "no sentinel knows a primary of this name";
    (ErrorKind::InvalidClientConfig, what).into()
}
