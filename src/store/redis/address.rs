//! Where Redis is.

use std::fmt;

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisError, RedisResult, aio::MultiplexedConnection, cluster::ClusterClient,
    io::tcp::TcpSettings,
};

use super::{
    connection::Config,
    fault,
    link::{CONNECT_TIMEOUT, Wire},
    sentinel::Sentinels,
};
use crate::error::Error;

/// How many commands wait in a connection's queue before a sender has to.
const PIPELINE_BUFFER: usize = 4096;

/// An address from a URL, with credentials; `Display` shows the hosts only.
// There is one in a process.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub(super) enum Address {
    Single(Client),
    Cluster(Box<Cluster>),
    Sentinel(Box<Sentinels>),
}

#[derive(Clone)]
pub(super) struct Cluster {
    client: ClusterClient,
    nodes: Vec<ConnectionInfo>,
    root_certificate: Option<Vec<u8>>,
}

impl Address {
    /// `redis://`, `rediss://`, `unix://`, `redis+cluster://`, `rediss+cluster://`,
    /// `redis+sentinel://` or `rediss+sentinel://`.
    ///
    /// # Errors
    ///
    /// A configuration error that says what to write instead, without the credentials.
    pub(super) fn parse(url: &str, config: &Config) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or_else(unknown_scheme)?;
        let root = config.root_certificate.as_deref();
        if root.is_some() && !scheme.starts_with("rediss") {
            return Err(Error::config(
                "a root certificate needs rediss://, rediss+cluster:// or rediss+sentinel://",
            ));
        }
        require_tls_feature(scheme)?;
        match scheme {
            "redis" | "rediss" | "unix" => {
                let info = info(url).map_err(wrong_url)?;
                client(info, root).map(Self::Single).map_err(wrong_url)
            }
            "redis+cluster" => Cluster::parse("redis", rest, root),
            "rediss+cluster" => Cluster::parse("rediss", rest, root),
            "redis+sentinel" => sentinels("redis", rest, root),
            "rediss+sentinel" => sentinels("rediss", rest, root),
            _ => Err(unknown_scheme()),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Makes a connection for commands.
    pub(super) async fn connect(&self) -> RedisResult<Wire> {
        match self {
            Self::Sentinel(sentinels) => sentinels.connect().await,
            Self::Single(client) => multiplexed(client).await.map(Wire::Single),
            Self::Cluster(cluster) => {
                let connecting = Box::pin(cluster.client.get_async_connection());
                // A node that hangs is waited for more than once: to connect to it, and to ask it
                // about the slots.
                match tokio::time::timeout(6 * CONNECT_TIMEOUT, connecting).await {
                    Ok(Ok(connection)) => Ok(Wire::Cluster(connection)),
                    Ok(Err(error)) => Err(cluster.first_refusal().await.unwrap_or(error)),
                    Err(_) => Err(timed_out()),
                }
            }
        }
    }

    /// The client of one server: the only one, the primary of the moment, or the node of a Cluster.
    pub(super) async fn server(&self, node: Option<(&str, u16)>) -> RedisResult<Client> {
        match (self, node) {
            (Self::Single(client), _) => Ok(client.clone()),
            (Self::Sentinel(sentinels), _) => sentinels.primary().await,
            (Self::Cluster(cluster), Some((host, port))) => cluster.node(host, port),
            (Self::Cluster(cluster), None) => cluster.client_of(cluster.nodes[0].clone()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(client) => write!(f, "{}", client.get_connection_info().addr()),
            Self::Sentinel(sentinels) => f.write_str(&sentinels.to_text()),
            Self::Cluster(cluster) => {
                for (index, node) in cluster.nodes.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}", node.addr())?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl Cluster {
    /// `[user:password@]host:port,host:port…`
    fn parse(scheme: &str, rest: &str, root: Option<&[u8]>) -> Result<Address, Error> {
        let (credentials, hosts) = match rest.rsplit_once('@') {
            Some((credentials, hosts)) => (format!("{credentials}@"), hosts),
            None => (String::new(), rest),
        };
        let (hosts, path) = hosts.split_once('/').unwrap_or((hosts, ""));
        if !matches!(path, "" | "0") {
            return Err(Error::config("a redis cluster has database 0 only"));
        }
        let nodes = hosts
            .split(',')
            .map(|host| info(&format!("{scheme}://{credentials}{host}")))
            .collect::<RedisResult<Vec<_>>>()
            .map_err(wrong_url)?;
        let client = cluster_client(nodes.clone(), root).map_err(wrong_url)?;
        Ok(Address::Cluster(Box::new(Self {
            client,
            nodes,
            root_certificate: root.map(<[u8]>::to_vec),
        })))
    }

    fn node(&self, host: &str, port: u16) -> RedisResult<Client> {
        let template = self.nodes[0].clone();
        let host = host.to_owned();
        let addr = match template.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.client_of(template.set_addr(addr))
    }

    fn client_of(&self, info: ConnectionInfo) -> RedisResult<Client> {
        client(info, self.root_certificate.as_deref())
    }

    /// The client of a Cluster calls every failure to connect an I/O error: asks the nodes for a
    /// refusal, such as a wrong password, that is hidden behind it.
    async fn first_refusal(&self) -> Option<RedisError> {
        for node in &self.nodes {
            let asked = async {
                let mut connection = multiplexed(&self.client_of(node.clone())?).await?;
                redis::cmd("CLUSTER")
                    .arg("SLOTS")
                    .exec_async(&mut connection)
                    .await
            };
            if let Some(error) = asked.await.err().filter(|error| !fault::is_outage(error)) {
                return Some(error);
            }
        }
        None
    }
}

/// A connection to one server; our own deadlines stand around each command.
pub(super) async fn multiplexed(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_BUFFER);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn sentinels(scheme: &str, rest: &str, root: Option<&[u8]>) -> Result<Address, Error> {
    Sentinels::parse(scheme, rest, root).map(|sentinels| Address::Sentinel(Box::new(sentinels)))
}

pub(super) fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

pub(super) fn info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info
        .redis_settings()
        .clone()
        // Whatever the URL says: the feed and pub/sub are read as RESP2 has them.
        .set_protocol(ProtocolVersion::RESP2)
        .set_lib_name("tower-keep", env!("CARGO_PKG_VERSION"));
    Ok(info
        .set_redis_settings(settings)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

#[cfg(feature = "tls")]
pub(super) fn client(info: ConnectionInfo, root: Option<&[u8]>) -> RedisResult<Client> {
    match root {
        Some(root) => Client::build_with_tls(info, certificates(root)),
        None => Client::open(info),
    }
}

#[cfg(not(feature = "tls"))]
pub(super) fn client(info: ConnectionInfo, _root: Option<&[u8]>) -> RedisResult<Client> {
    Client::open(info)
}

fn cluster_client(nodes: Vec<ConnectionInfo>, root: Option<&[u8]>) -> RedisResult<ClusterClient> {
    let builder = ClusterClient::builder(nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(2 * CONNECT_TIMEOUT)
        .overall_response_timeout(None)
        .retries(4)
        .min_retry_wait(5)
        .max_retry_wait(50)
        .tcp_settings(TcpSettings::default().set_nodelay(true));
    #[cfg(feature = "tls")]
    let builder = match root {
        Some(root) => builder.certs(certificates(root)),
        None => builder,
    };
    #[cfg(not(feature = "tls"))]
    let _ = root;
    builder.build()
}

#[cfg(feature = "tls")]
fn certificates(root: &[u8]) -> redis::TlsCertificates {
    redis::TlsCertificates {
        client_tls: None,
        root_cert: Some(root.to_vec()),
    }
}

/// rustls has no cryptography of its own and would panic if the application chose none.
#[cfg(feature = "tls")]
fn require_tls_feature(scheme: &str) -> Result<(), Error> {
    if scheme.starts_with("rediss") {
        // Refused when the application has installed its own in the meantime: just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Ok(())
}

#[cfg(not(feature = "tls"))]
fn require_tls_feature(scheme: &str) -> Result<(), Error> {
    if scheme.starts_with("rediss") {
        return Err(Error::config("rediss:// needs tower-keep's feature `tls`"));
    }
    Ok(())
}

pub(super) fn wrong_url(cause: RedisError) -> Error {
    Error::config(format!("the redis URL is wrong: {}", fault::reason(&cause))).with_source(cause)
}

fn unknown_scheme() -> Error {
    Error::config(
        "a redis URL begins with redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, \
         redis+sentinel:// or rediss+sentinel://",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, Error> {
        Address::parse(url, &Config::default())
    }

    #[test]
    fn shows_hosts_and_never_credentials() {
        for (url, shown) in [
            ("redis://app:secret@127.0.0.1/3", "127.0.0.1:6379"),
            ("redis+cluster://app:secret@a:1,b:2", "a:1,b:2"),
            ("redis+cluster://a", "a:6379"),
            ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
            (
                "redis+sentinel://app:secret@a,b:2/main/3",
                "a:26379,b:2/main",
            ),
        ] {
            let address = parse(url).expect(url);
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn a_bad_url_is_a_configuration_error_without_its_secret() {
        for url in [
            "",
            "127.0.0.1:6379",
            "http://app:secret@127.0.0.1",
            "redis://app:secret@",
            "redis://app:secret@127.0.0.1/database",
            "redis://app:secret@127.0.0.1:port",
            "redis+cluster://app:secret@",
            "redis+cluster://app:secret@a:1,b:x",
            "redis+cluster://app:secret@a:1/2",
            "redis+sentinel://app:secret@a:1",
            "redis+sentinel://app:secret@a:x/main",
            "redis+sentinel://app:secret@a:1/main/database",
        ] {
            let error = parse(url).expect_err(url);
            assert!(error.is_config(), "{url}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn tls_names_the_feature_it_needs() {
        let error = parse("rediss://127.0.0.1").expect_err("no tls");
        assert!(error.to_string().contains("feature `tls`"));
    }
}
