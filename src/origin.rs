//! The request as it was received: its URI before a router took prefixes off, its authority.

use http::{Extensions, HeaderMap, Uri, header::HOST, request};

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
/// is repeated or no text, or differs from the URI's authority (RFC 9112 section 3.2).
pub(crate) fn is_ambiguous(parts: &request::Parts) -> bool {
    let mut lines = parts.headers.get_all(HOST).iter();
    let Some(host) = lines.next() else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return true;
    };
    let authority = uri(&parts.uri, &parts.extensions).authority();
    lines.next().is_some() || authority.is_some_and(|other| !is_same_host(host, other.as_str()))
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
    pub(crate) fn of(parts: &'a request::Parts) -> Self {
        Self::new(uri(&parts.uri, &parts.extensions), &parts.headers)
    }

    pub(crate) fn new(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self {
            path: uri.path(),
            query: uri.query(),
            host: authority(uri, headers),
        }
    }
}
