//! The address of a Redis server, Cluster or Sentinel group.

use std::fmt;

use redis::{Client, RedisResult};

use super::{
    cluster::Cluster,
    config::Config,
    connection::Connection,
    error::invalid_url,
    sentinel::Sentinels,
    server::{self, parse_info},
    tls,
};
use crate::error::Error;

/// An address from a URL, with credentials; `Display` shows the hosts only.
// A process has one, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
pub(super) enum Address {
    Single(Client),
    Cluster(Box<Cluster>),
    Sentinel(Box<Sentinels>),
}

impl Address {
    /// Parses `redis://`, `rediss://`, `unix://`, `redis+cluster://`, `rediss+cluster://`,
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
        tls::prepare(scheme)?;
        match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis" | "rediss" | "unix", "") => parse_info(url)
                .and_then(|info| server::client(info, root))
                .map(Self::Single)
                .map_err(invalid_url),
            (tcp @ ("redis" | "rediss"), "cluster") => {
                let cluster = Cluster::parse(tcp, rest, root)?;
                Ok(Self::Cluster(Box::new(cluster)))
            }
            (tcp @ ("redis" | "rediss"), "sentinel") => {
                let sentinels = Sentinels::parse(tcp, rest, root)?;
                Ok(Self::Sentinel(Box::new(sentinels)))
            }
            _ => Err(unknown_scheme()),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Opens a connection for commands.
    pub(super) async fn connect(&self) -> RedisResult<Connection> {
        match self {
            Self::Single(client) => server::connect(client).await.map(Connection::Single),
            Self::Cluster(cluster) => cluster.connect().await,
            Self::Sentinel(sentinels) => sentinels.connect().await,
        }
    }

    /// The client of one server: the only one, the current primary, or a node of a Cluster.
    pub(super) async fn server(&self, node: Option<(&str, u16)>) -> RedisResult<Client> {
        match self {
            Self::Single(client) => Ok(client.clone()),
            Self::Cluster(cluster) => cluster.node(node),
            Self::Sentinel(sentinels) => sentinels.primary().await,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(client) => write!(f, "{}", client.get_connection_info().addr()),
            Self::Cluster(cluster) => cluster.fmt(f),
            Self::Sentinel(sentinels) => sentinels.fmt(f),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
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
    fn display_shows_hosts_without_credentials() {
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
    fn an_invalid_url_is_a_configuration_error_without_the_password() {
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
    fn rediss_without_the_tls_feature_names_it() {
        let error = parse("rediss://127.0.0.1").expect_err("no tls");
        assert!(error.to_string().contains("feature `tls`"));
    }
}
