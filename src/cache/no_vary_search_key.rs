//! The keys of equivalent queries (`No-Vary-Search`), on paths without a route.
//!
//! A response with this field is stored under a normalized query, so that equivalent queries share
//! one key.

use http::HeaderMap;

use crate::{
    key::{KeyBuf, KeyInputs, url_key},
    message::target::Target,
    semantics::no_vary_search::SearchVariance,
};

/// The key of a target, with the query normalized by `rule`, or as received.
pub(super) fn key(
    target: Target<'_>,
    headers: &HeaderMap,
    rule: Option<&SearchVariance>,
) -> KeyBuf {
    let normalized = rule.map(|rule| rule.normalize(target.query));
    let query = match &normalized {
        Some(query) if query.is_empty() => None,
        Some(query) => Some(query.as_str()),
        None => target.query,
    };
    let inputs = KeyInputs {
        scheme: target.scheme,
        host: target.host,
        path: target.path,
        query,
        headers,
        user: None,
        body: None,
    };
    let mut key = KeyBuf::new();
    url_key(&inputs, &mut key);
    key
}
