//! The address of the client's connection, from the request's extensions.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

/// The address at the other end of the connection: from axum's `ConnectInfo` (feature `axum`),
/// tonic's `TcpConnectInfo` (feature `tonic`) or a [`SocketAddr`], else from `fallback`.
pub(crate) fn of(
    extensions: &Extensions,
    fallback: impl FnOnce() -> Option<IpAddr>,
) -> Option<IpAddr> {
    #[cfg(feature = "axum")]
    if let Some(info) = extensions.get::<axum::extract::ConnectInfo<SocketAddr>>() {
        return Some(info.0.ip());
    }
    #[cfg(feature = "tonic")]
    if let Some(address) = extensions
        .get::<tonic::transport::server::TcpConnectInfo>()
        .and_then(|info| info.remote_addr())
    {
        return Some(address.ip());
    }
    match extensions.get::<SocketAddr>() {
        Some(address) => Some(address.ip()),
        None => fallback(),
    }
}
