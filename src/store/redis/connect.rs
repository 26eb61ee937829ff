//! The first connection, and what is checked over it.

use redis::{ErrorKind, RedisResult, ServerErrorKind, aio::MultiplexedConnection};

use super::{
    connection::Connection,
    error::is_outage,
    permissions,
    server::{self, CONNECT_TIMEOUT, with_timeout},
    state::ClientState,
};
use crate::error::Error;

/// Opens the first connection. An outage opens the breakers and is not an error, because the
/// supervisor connects later; a refusal is an error, because the operator must change the
/// configuration.
pub(super) async fn connect_first(state: &ClientState) -> Result<(), Error> {
    match open(state).await {
        Ok((connection, mut server, cluster_info)) => {
            let address = &state.address;
            if cluster_info.contains("cluster_enabled:1") && !address.is_cluster() {
                return Err(Error::config(format!(
                    "redis at {address} is a node of a cluster: write redis+cluster://"
                )));
            }
            permissions::check(&mut server).await?;
            state.pool.set(0, connection);
            Ok(())
        }
        Err(error) if is_outage(&error) => {
            state.open_breakers(&error);
            Ok(())
        }
        Err(error) => Err(state.connect_failed(error)),
    }
}

/// A connection for commands, a connection to one server, and that server's reply to `INFO cluster`.
async fn open(state: &ClientState) -> RedisResult<(Connection, MultiplexedConnection, String)> {
    let connection = state.address.connect().await?;
    let client = state.address.server(None).await?;
    let mut server = server::connect(&client).await?;
    let cluster_info = cluster_info(&mut server).await?;
    Ok((connection, server, cluster_info))
}

/// The reply to `INFO cluster`; empty if the user may not ask.
async fn cluster_info(server: &mut MultiplexedConnection) -> RedisResult<String> {
    let mut info = redis::cmd("INFO");
    info.arg("cluster");
    match with_timeout(CONNECT_TIMEOUT, server::send(server, &info)).await {
        Ok(text) => Ok(redis::from_redis_value(text).unwrap_or_default()),
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
            Ok(String::new())
        }
        Err(error) => Err(error),
    }
}
