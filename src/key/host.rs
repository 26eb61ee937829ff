//! Hosts in keys. The key of a URL also contains the scheme if it is known, as a variation
//! ([`push_scheme`](super::url::push_scheme)).

use super::encode::{self, KeyBytes};

/// Writes an authority as keys contain it: in lower case, without user information. A port that may be
/// the default stays, because a server may copy it into links.
pub(crate) fn push_host(host: &str, out: &mut KeyBytes) {
    let start = out.len();
    for byte in without_user(host).bytes() {
        encode::push_byte(byte.to_ascii_lowercase(), out);
    }
    encode::shorten(out, start, encode::VALUE_MAX);
}

/// Removes the default ports of `http` and `https` (RFC 9110 section 4.2.3) and user information.
pub(crate) fn without_default_port(authority: &str) -> &str {
    let host = without_user(authority);
    host.strip_suffix(":80")
        .or_else(|| host.strip_suffix(":443"))
        .unwrap_or(host)
}

/// The other authorities that name the same server as this one, if the scheme is unknown: with and
/// without a default port.
pub(crate) fn equivalents(authority: &str) -> Vec<String> {
    let bare = without_default_port(authority);
    let port = bare.rsplit(':').next().unwrap_or_default();
    if bare.contains(':') && !port.ends_with(']') {
        return Vec::new();
    }
    let all = ["", ":80", ":443"].map(|port| format!("{bare}{port}"));
    let is_other = |other: &String| !other.eq_ignore_ascii_case(without_user(authority));
    all.into_iter().filter(is_other).collect()
}

fn without_user(authority: &str) -> &str {
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_with_a_default_port_are_equivalent() {
        for (authority, others) in [
            ("h", &["h:80", "h:443"][..]),
            ("h:80", &["h", "h:443"]),
            ("u@h:443", &["h", "h:80"]),
            ("[::1]", &["[::1]:80", "[::1]:443"]),
            ("[::1]:80", &["[::1]", "[::1]:443"]),
            ("h:8080", &[]),
            ("[::1]:8080", &[]),
        ] {
            assert_eq!(equivalents(authority), others, "{authority}");
        }
    }
}
