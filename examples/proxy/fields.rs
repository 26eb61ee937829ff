//! Header fields that a proxy removes, adds and checks (RFC 9110, 7.6; RFC 9112, 6).

use std::{fmt::Write, net::IpAddr, time::SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};

/// Fields that apply to a single connection, in addition to those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-authentication-info"),
];

/// Fields that are never hop-by-hop, even if `Connection` names them (RFC 9110, 7.6.1).
const NEVER_HOP_BY_HOP: [HeaderName; 7] = [
    header::HOST,
    header::CACHE_CONTROL,
    HeaderName::from_static("cdn-cache-control"),
    header::EXPIRES,
    header::AGE,
    header::DATE,
    header::VARY,
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Removes the fields that apply only to the connection the message arrived on.
///
/// `Host` stays even if `Connection` names it, because it is part of the target. Fields for every recipient stay, too:
/// without its `Cache-Control`, a response could be stored that must not be.
pub(crate) fn remove_hop_by_hop(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = members(fields, header::CONNECTION)
        .filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok())
        .filter(|name| !NEVER_HOP_BY_HOP.contains(name))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        fields.remove(name);
    }
}

/// Whether the sender accepts trailer fields (RFC 9110, 10.1.4).
pub(crate) fn takes_trailers(fields: &HeaderMap) -> bool {
    members(fields, header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// Joins the `Cookie` lines of an HTTP/2 request, which HTTP/1.1 allows only once (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(fields: &mut HeaderMap) {
    let lines: Vec<&[u8]> = fields
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.len() < 2 {
        return;
    }
    // Never fails: the bytes of valid values, and `; `.
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        fields.insert(header::COOKIE, joined);
    }
}

/// Adds `Via` for a message received over `version` (RFC 9110, 7.6.3).
pub(crate) fn add_via(fields: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_10 => "1.0 tower-keep",
        Version::HTTP_2 => "2 tower-keep",
        _ => "1.1 tower-keep",
    };
    fields.append(header::VIA, HeaderValue::from_static(via));
}

/// Appends the client's address to `X-Forwarded-For`.
pub(crate) fn add_forwarded_for(fields: &mut HeaderMap, client: IpAddr) {
    let mut seen = String::new();
    for line in fields
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter_map(|line| line.to_str().ok())
    {
        seen.push_str(line);
        seen.push_str(", ");
    }
    let _ = write!(seen, "{}", client.to_canonical());
    if let Ok(seen) = HeaderValue::from_str(&seen) {
        fields.insert(X_FORWARDED_FOR, seen);
    }
}

/// Adds `Date` to a response without one (RFC 9110, 6.6.1).
pub(crate) fn add_date(fields: &mut HeaderMap) {
    if !fields.contains_key(header::DATE) {
        let now = httpdate::fmt_http_date(SystemTime::now());
        fields.extend(
            HeaderValue::from_str(&now)
                .ok()
                .map(|now| (header::DATE, now)),
        );
    }
}

/// Transfer codings that change the body; the proxy does not accept them.
const COMPRESSIONS: [&str; 5] = ["compress", "deflate", "gzip", "x-compress", "x-gzip"];

/// How the fields of a response delimit its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// `chunked`, or ended by closing the connection.
    Unsized,
    /// A valid `Content-Length`.
    Length(u64),
    /// A transfer coding that cannot be decoded, or contradictory lengths.
    Unknown,
}

/// Reads a response's framing. `Transfer-Encoding` overrides `Content-Length` (RFC 9112, 6.3).
///
/// With an unregistered transfer coding the body is forwarded as received.
pub(crate) fn framing(fields: &HeaderMap) -> Framing {
    if fields.contains_key(header::TRANSFER_ENCODING) {
        let codings: Vec<_> = members(fields, header::TRANSFER_ENCODING).collect();
        let before_last = codings.split_last().map_or(&[][..], |(_, before)| before);
        let is = |coding: &str, known: &[&str]| {
            known.iter().any(|known| coding.eq_ignore_ascii_case(known))
        };
        let unclear = codings.iter().any(|coding| is(coding, &COMPRESSIONS))
            || before_last.iter().any(|coding| is(coding, &["chunked"]));
        return if unclear {
            Framing::Unknown
        } else {
            Framing::Unsized
        };
    }
    let mut lines = fields.get_all(header::CONTENT_LENGTH).iter();
    if lines.next().is_none() {
        return Framing::Unsized;
    }
    let mut lengths = members(fields, header::CONTENT_LENGTH).map(length);
    match lengths.next().flatten() {
        Some(first)
            if lines.all(|line| line.to_str().is_ok())
                && lengths.all(|next| next == Some(first)) =>
        {
            Framing::Length(first)
        }
        _ => Framing::Unknown,
    }
}

fn length(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

/// The members of a comma-separated list, over all its field lines.
fn members(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = fields
        .get_all(name)
        .into_iter()
        .filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}
