//! The keys of equivalent queries (`No-Vary-Search`), on paths that no route names.
//!
//! A response with this field is stored under the one query that its rule normalizes all equivalent
//! queries to.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::cache_request::CacheRequest;
use crate::{
    engine::core::Engine,
    key::{KeyBuf, KeyInputs, url_key},
    message::{client_request::ClientRequest, target::Target},
    semantics::no_vary_search::QueryVariationRule,
    store::entry::Entry,
};

/// Whether `No-Vary-Search` counts for a request: a route's table says itself which parts of the
/// query are keyed, and the key of a QUERY is its content.
pub(super) fn applies(request: &CacheRequest, method: &Method) -> bool {
    request.route.is_none() && matches!(*method, Method::GET | Method::HEAD | Method::POST)
}

/// Whether an entry that was found by a rule states that rule itself.
pub(super) fn selects(request: &CacheRequest, entry: &Entry) -> bool {
    request.query_rule.as_deref().is_none_or(|rule| {
        let stated = entry.response().map(|response| &response.headers);
        stated.and_then(QueryVariationRule::of).as_ref() == Some(rule)
    })
}

/// Replaces the key under which the request was looked up by the one under which a response with
/// these fields is stored.
pub(super) fn settle_key(
    engine: &Engine,
    request: &mut CacheRequest,
    original: &ClientRequest,
    response: &HeaderMap,
) {
    if !applies(request, &original.method) {
        return;
    }
    let rule = QueryVariationRule::of(response).map(Arc::new);
    if rule.is_none() && request.query_rule.is_none() {
        return;
    }
    if let Some(rule) = &rule {
        engine.query_rules.learn(request.key.base(), rule);
    }
    request.key = key(original.target(), &original.headers, rule.as_deref());
    request.query_rule = rule;
}

/// The key of a target by a rule, or by its raw query.
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
