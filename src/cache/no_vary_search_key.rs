//! The keys of equivalent queries (`No-Vary-Search`), on paths without a route.
//!
//! A response with this field is stored under a normalized query, so that equivalent queries share
//! one key.

use http::{HeaderMap, Method};

use super::cache_request::CacheRequest;
use crate::{
    key::{KeyBuf, KeyInputs, url_key},
    message::target::Target,
    semantics::no_vary_search::QueryVariationRule,
    store::entry::Entry,
};

/// Whether `No-Vary-Search` applies to a request: not on a route, whose query settings decide, and
/// not to QUERY. POST is included because its response may answer a later GET.
pub(super) fn applies(request: &CacheRequest, method: &Method) -> bool {
    request.route.is_none() && matches!(*method, Method::GET | Method::HEAD | Method::POST)
}

/// Whether an entry found under a rule's key has the same rule in its own `No-Vary-Search`.
pub(super) fn has_same_rule(request: &CacheRequest, entry: &Entry) -> bool {
    request.query_rule.as_deref().is_none_or(|rule| {
        let fields = entry.response().map(|response| &response.headers);
        fields.and_then(QueryVariationRule::of).as_ref() == Some(rule)
    })
}

/// The key of a target, with the query normalized by `rule`, or as received.
pub(super) fn key(
    target: Target<'_>,
    headers: &HeaderMap,
    rule: Option<&QueryVariationRule>,
) -> KeyBuf {
    let normalized = rule.map(|rule| rule.normalize(target.query));
    let query = match &normalized {
        Some(query) if query.is_empty() => None,
        Some(query) => Some(query.as_str()),
        None => target.query,
    };
    let inputs = KeyInputs {
        host: target.host,
        path: target.path,
        query,
        headers,
        user: None,
        body: None,
    };
    let mut key = KeyBuf::new();
    url_key(&inputs, None, &mut key);
    key
}
