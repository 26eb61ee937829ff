//! Searching for the responses to equivalent queries (`No-Vary-Search`).

use std::sync::Arc;

use super::{
    context::{CacheContext, CacheResponse},
    query_rule, serve,
};
use crate::message::{http_service::HttpService, replayable_body::ReplayableBody};

/// Looks in the local tier by the rules that the path's responses have given. An entry that is found
/// but cannot be used without asking the inner service becomes the candidate.
pub(super) fn run<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
) -> Option<CacheResponse<S, B>> {
    let (config, parts) = (Arc::clone(&context.config), &context.parts);
    if context.request.candidate.is_some() || !query_rule::applies(&context.request, &parts.method)
    {
        return None;
    }
    let engine = config.engine();
    let rules = engine.query_rules.of(context.request.key.base())?;
    let target = engine.target(parts);
    let raw_key = context.request.key.clone();
    for rule in rules.iter() {
        let request = &mut context.request;
        request.key = query_rule::key(target, &parts.headers, Some(rule));
        request.query_rule = Some(Arc::clone(rule));
        let found = engine
            .tiers
            .lookup_local(&request.key, &parts.headers, engine.clock.now());
        if let Some(found) = found.filter(|found| query_rule::selects(request, &found.entry)) {
            let response = serve::found(context, &found);
            if response.is_some() {
                engine.metrics.hit_local.increment(1);
            } else {
                context.request.candidate = Some(found);
            }
            return response;
        }
    }
    // The store is asked once, by the most recent rule.
    let rule = rules.first().filter(|_| engine.tiers.store.is_some());
    let key = rule.map(|rule| query_rule::key(target, &parts.headers, Some(rule)));
    context.request.key = key.unwrap_or(raw_key);
    context.request.query_rule = rule.map(Arc::clone);
    None
}
