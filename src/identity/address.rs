use std::{
    iter,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::plan::IdentityPlan;

/// The client's address: the peer's or, behind trusted proxies, the last one in the forwarding field
/// that does not belong to a trusted proxy.
///
/// The forwarding field is `identity.ip_header` if given, else `X-Forwarded-For`, else `Forwarded`
/// (RFC 7239). Its lines are read from the right, because only elements that trusted proxies
/// appended can be trusted, up to the first element that is not an address.
pub(crate) fn client_ip(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    identity: &IdentityPlan,
) -> Option<IpAddr> {
    let mut client = peer?.to_canonical();
    let Some(name) = forwarding_field(headers, identity) else {
        return Some(client);
    };
    let forwarded = *name == FORWARDED;
    let mut hops = headers
        .get_all(name)
        .iter()
        .rev()
        .flat_map(elements_from_right)
        .map(|element| address(element, forwarded));
    while is_trusted(client, identity)
        && let Some(Some(hop)) = hops.next()
    {
        client = hop;
    }
    Some(client)
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

fn forwarding_field<'a>(headers: &HeaderMap, identity: &'a IdentityPlan) -> Option<&'a HeaderName> {
    if identity.trusted_proxies.is_empty() {
        return None;
    }
    identity.ip_header.as_ref().or_else(|| {
        [&X_FORWARDED_FOR, &FORWARDED]
            .into_iter()
            .find(|name| headers.contains_key(*name))
    })
}

/// The elements of one line from the last to the first. A comma in a quoted string is not a separator. A
/// line that is not text is one empty element.
fn elements_from_right(line: &HeaderValue) -> impl Iterator<Item = &str> {
    let mut rest = Some(line.to_str().unwrap_or_default());
    iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let comma = text.bytes().rposition(|byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        let (left, element) = match comma {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        rest = left;
        Some(element.trim())
    })
}

/// The address in an element of `X-Forwarded-For`, or in the `for` parameter of `Forwarded`.
fn address(element: &str, forwarded: bool) -> Option<IpAddr> {
    let node = if forwarded {
        element
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?
            .1
            .trim()
    } else {
        element
    };
    node_address(node.trim_matches('"'))
}

/// A node of RFC 7239 section 6: an address, IPv6 in brackets, optionally with a port.
fn node_address(node: &str) -> Option<IpAddr> {
    let address = match node.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0.parse().ok()?,
        None => node
            .parse()
            .ok()
            .or_else(|| Some(node.parse::<SocketAddr>().ok()?.ip()))?,
    };
    Some(IpAddr::to_canonical(&address))
}

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
