//! Hosts in keys.

use super::encode::{self, KeyBytes};

/// Writes an authority as keys contain it: in lower case, without a default port.
pub(crate) fn push_host(host: &str, out: &mut KeyBytes) {
    let start = out.len();
    for byte in without_default_port(host).bytes() {
        encode::push_byte(byte.to_ascii_lowercase(), out);
    }
    encode::shorten(out, start, encode::VALUE_MAX);
}

/// Removes a default port (RFC 9110 section 4.2.3) and user information.
pub(crate) fn without_default_port(authority: &str) -> &str {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"))
        .unwrap_or(host)
}
