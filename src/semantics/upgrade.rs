//! Requests to change the protocol of their connection (RFC 9110 section 7.8).

use http::{HeaderMap, HeaderName, Version, header};

use super::list;

/// Whether a request asks for a protocol that takes the connection over. Then the response is no
/// ordinary response, so that the request must not wait for others or share theirs.
///
/// That is an HTTP/1.1 request with `Connection: upgrade` and the protocol `websocket` (RFC 6455),
/// `connect-udp` (RFC 9298) or `connect-ip` (RFC 9484). Many clients offer `h2c` with ordinary
/// requests, which a server answers as usual; other protocols are not a reason to leave out the cache,
/// because any client can name them.
pub(crate) fn is_upgrade(version: Version, headers: &HeaderMap) -> bool {
    let names = |field: &HeaderName, known: &[&str]| {
        list::members(headers, field).any(|member| {
            let is = |name: &&str| member.eq_ignore_ascii_case(name.as_bytes());
            known.iter().any(is)
        })
    };
    version == Version::HTTP_11
        && names(&header::CONNECTION, &["upgrade"])
        && names(
            &header::UPGRADE,
            &["websocket", "connect-udp", "connect-ip"],
        )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_known_protocols_on_a_connection_of_http_1_1_are_upgrades() {
        let is = |version, connection: &'static str, upgrade: &'static str| {
            let fields = [(header::CONNECTION, connection), (header::UPGRADE, upgrade)];
            let fields = fields.map(|(name, value)| (name, HeaderValue::from_static(value)));
            is_upgrade(version, &HeaderMap::from_iter(fields))
        };
        assert!(is(Version::HTTP_11, "upgrade", "websocket"));
        assert!(is(Version::HTTP_11, "keep-alive, Upgrade", "WebSocket"));
        assert!(is(Version::HTTP_11, "upgrade", "x, connect-udp"));
        assert!(!is(Version::HTTP_11, "upgrade", "x"));
        assert!(!is(Version::HTTP_11, "upgrade", "websocket/13"));
        assert!(!is(Version::HTTP_11, "Upgrade, HTTP2-Settings", "h2c"));
        assert!(!is(Version::HTTP_11, "keep-alive", "websocket"));
        assert!(!is(Version::HTTP_2, "upgrade", "websocket"));
        assert!(!is(Version::HTTP_10, "upgrade", "websocket"));
    }
}
