//! Where a request comes from, as the server says in its extensions.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

/// The address at the other end of the connection: axum's `ConnectInfo` (feature `axum`), tonic's
/// `TcpConnectInfo` (feature `tonic`), a [`SocketAddr`], or what `application` answers.
pub(crate) fn address(
    extensions: &Extensions,
    application: impl FnOnce() -> Option<IpAddr>,
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
        None => application(),
    }
}

/// The pattern of the route that axum matched (feature `axum`).
pub(crate) fn matched_path(extensions: &Extensions) -> Option<&str> {
    #[cfg(feature = "axum")]
    return extensions
        .get::<axum::extract::MatchedPath>()
        .map(axum::extract::MatchedPath::as_str);
    #[cfg(not(feature = "axum"))]
    {
        let _ = extensions;
        None
    }
}
