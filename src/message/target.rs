//! The request as it was received: its URI before a router took prefixes off, its authority.

use http::{Extensions, HeaderMap, Uri, header::HOST, uri::Authority};

use crate::key::without_default_port;

/// The URI as received. Inside axum's `nest` that is `OriginalUri` (feature `axum`).
pub(crate) fn uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    #[cfg(feature = "axum")]
    if let Some(original) = extensions.get::<axum::extract::OriginalUri>() {
        return &original.0;
    }
    let _ = extensions;
    uri
}

/// The authority that the request is for (RFC 9110 section 7.2): of the URI, else `Host`.
pub(crate) fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    }
}

/// Whether the inner service could take the request for another host's than the crate does: `Host`
/// is repeated, or differs from the URI's authority, or one of them is more than a host and a port
/// (RFC 9112 section 3.2, RFC 9110 section 4.2.4).
pub(crate) fn names_hosts(uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = uri.authority().map(Authority::as_str);
    if authority.is_some_and(|authority| !is_host_and_port(authority.as_bytes())) {
        return true;
    }
    let mut lines = headers.get_all(HOST).iter();
    let Some(host) = lines.next() else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return true;
    };
    lines.next().is_some()
        || !is_host_and_port(host.as_bytes())
        || authority.is_some_and(|other| !is_same_host(host, other))
}

/// What of an authority stands before an `@`, and what no host has, is no part of a key: but who
/// repeats `Host` in links repeats it.
fn is_host_and_port(authority: &[u8]) -> bool {
    authority
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

fn is_same_host(one: &str, other: &str) -> bool {
    without_default_port(one).eq_ignore_ascii_case(without_default_port(other))
}

/// What the crate reads of a request's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(crate) fn new(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self {
            path: uri.path(),
            query: uri.query(),
            host: authority(uri, headers),
        }
    }
}
