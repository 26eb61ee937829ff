//! One server: its client, and a connection to it.

use std::{io, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    ProtocolVersion, RedisResult, Value, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::time::timeout;

use super::error::invalid_url;
use crate::error::Error;

/// How long connecting may take, TLS and credentials included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many commands a connection queues before senders must wait.
const PIPELINE_BUFFER: usize = 4096;

/// Parses a URL of one server.
pub(super) fn parse_info(url: &str) -> RedisResult<ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info
        .redis_settings()
        .clone()
        // Even if the URL asks for RESP3: the journal's feed and pub/sub are parsed as RESP2.
        .set_protocol(ProtocolVersion::RESP2)
        .set_lib_name("tower-keep", env!("CARGO_PKG_VERSION"));
    Ok(info
        .set_redis_settings(settings)
        .set_tcp_settings(tcp_settings()))
}

pub(super) fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Parses a list of servers, `host:port,host:port…`.
pub(super) fn parse_list(
    hosts: &str,
    url: impl Fn(&str) -> String,
) -> Result<Vec<ConnectionInfo>, Error> {
    let infos = hosts.split(',').map(|host| parse_info(&url(host)));
    infos.collect::<RedisResult<_>>().map_err(invalid_url)
}

/// The hosts and ports of servers, without credentials.
pub(super) fn addresses(infos: &[ConnectionInfo]) -> String {
    let addresses = infos.iter().map(|info| info.addr().to_string());
    addresses.collect::<Vec<_>>().join(",")
}

/// `info` with another host and port.
pub(super) fn with_host(info: ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: None,
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.set_addr(addr)
}

/// The client of a server, which trusts the certificate authority `root` if one is given.
#[cfg_attr(not(feature = "tls"), expect(unused_variables))]
pub(super) fn client(info: ConnectionInfo, root: Option<&[u8]>) -> RedisResult<Client> {
    #[cfg(feature = "tls")]
    if let Some(root) = root {
        return Client::build_with_tls(info, super::tls::certificates(root));
    }
    Client::open(info)
}

/// Connects to a server. Deadlines are set around each command, not in the connection.
pub(super) async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(PIPELINE_BUFFER);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// Waits for a reply or a connection for at most `allowed`.
pub(super) async fn with_timeout<T>(
    allowed: Duration,
    reply: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let timed_out = |_| Err(io::Error::from(io::ErrorKind::TimedOut).into());
    timeout(allowed, reply).await.unwrap_or_else(timed_out)
}

/// Sends one command over one connection; an error reply is returned as an error.
pub(super) async fn send(connection: &mut MultiplexedConnection, cmd: &Cmd) -> RedisResult<Value> {
    connection.send_packed_command(cmd).await?.extract_error()
}
