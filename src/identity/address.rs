use std::{
    iter,
    net::{IpAddr, Ipv6Addr},
};

use http::{HeaderMap, HeaderName, header::FORWARDED};

use super::plan::IdentityPlan;

/// The client's address: the peer's or, behind trusted proxies, the one that they write in
/// `identity.ip_header`. No other field is read: a proxy forwards the others as the client sent them.
///
/// A field that each proxy extends is read from the right, because only elements that trusted proxies
/// appended can be trusted, up to the first address that is not a trusted proxy's, or to an element
/// that is not an address. Any other field must contain one address.
pub(crate) fn client_ip(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    identity: &IdentityPlan,
) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    let Some(name) = identity.ip_header.as_ref() else {
        return Some(peer);
    };
    if !is_trusted(peer, identity) {
        return Some(peer);
    }
    if *name == FORWARDED {
        return Some(last_hop(peer, headers, name, identity, forwarded_for));
    }
    if name.as_str().ends_with("forwarded-for") {
        return Some(last_hop(peer, headers, name, identity, node_address));
    }
    Some(sole_address(headers, name).unwrap_or(peer))
}

/// The address that identifies a client: of IPv6 only the first `prefix` bits, since a client usually
/// has a whole network of addresses.
pub(crate) fn truncate(address: IpAddr, prefix: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let host_bits = 128 - u32::from(prefix.min(128));
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
        v4 => v4,
    }
}

fn is_trusted(address: IpAddr, identity: &IdentityPlan) -> bool {
    identity
        .trusted_proxies
        .iter()
        .any(|net| net.contains(&address))
}

/// The last address in a list that is not a trusted proxy's, or the leftmost before an element that is
/// not an address.
fn last_hop(
    peer: IpAddr,
    headers: &HeaderMap,
    name: &HeaderName,
    identity: &IdentityPlan,
    parse: impl Fn(&str) -> Option<IpAddr>,
) -> IpAddr {
    let lines = headers.get_all(name).iter().rev();
    let mut hops = lines.flat_map(|line| from_right(line.to_str().unwrap_or_default(), b','));
    let mut client = peer;
    while is_trusted(client, identity)
        && let Some(hop) = hops.next().and_then(&parse)
    {
        client = hop;
    }
    client
}

/// The address in a field that has exactly one line. With two lines, the client may have sent one of
/// them.
fn sole_address(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?.to_str().ok()?;
    lines.next().is_none().then(|| node_address(line.trim()))?
}

/// The elements of a list from the last to the first. A separator in a quoted string does not count.
fn from_right(list: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(list);
    iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let at = text.bytes().rposition(|byte| {
            quoted ^= byte == b'"';
            byte == separator && !quoted
        });
        let (left, element) = match at {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        rest = left;
        Some(element.trim())
    })
}

/// The address in the `for` parameter of an element of `Forwarded` (RFC 7239 section 4); `None` if it
/// is missing, hidden (section 6.3) or repeated.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let pairs = from_right(element, b';').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, value) = values.next()?;
    values
        .next()
        .is_none()
        .then(|| node_address(value.trim()))?
}

/// A node of RFC 7239 section 6: an address, IPv6 in brackets if a port follows. Quotes, and IPv6
/// without brackets, are accepted in every field.
fn node_address(node: &str) -> Option<IpAddr> {
    let quoted = node
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let node = quoted.unwrap_or(node);
    let address = if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        is_port(port).then(|| address.parse().ok().map(IpAddr::V6))?
    } else if let Ok(address) = node.parse() {
        Some(address)
    } else {
        let (address, port) = node.split_at(node.find(':')?);
        is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?
    };
    address.map(|address| address.to_canonical())
}

/// Whether nothing or a port follows an address; an obfuscated port begins with `_` (RFC 7239 section
/// 6.2).
fn is_port(text: &str) -> bool {
    let is_port_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(is_port_byte))
}
