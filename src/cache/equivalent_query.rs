//! Looking in the local tier for the response to an equivalent query (`No-Vary-Search`).

use std::sync::Arc;

use super::{
    context::{CacheContext, CacheResponse},
    no_vary_search_key, serve_found,
};
use crate::message::{http_service::HttpService, replayable_body::ReplayableBody};

/// Looks in the local tier under the key that each known `No-Vary-Search` rule of the path
/// produces. An entry that cannot be used without asking the inner service becomes the candidate.
///
/// Without a hit, leaves in `request.key` the key for the lookup in the store.
pub(super) fn find_equivalent<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
) -> Option<CacheResponse<S, B>> {
    let (config, parts) = (Arc::clone(&context.config), &context.parts);
    if context.request.candidate.is_some() || !context.request.uses_no_vary_search(&parts.method) {
        return None;
    }
    let engine = config.engine();
    let rules = engine.search_variances.of(context.request.key.base())?;
    let target = engine.target(parts);
    let raw_key = context.request.key.clone();
    for rule in rules.iter() {
        let request = &mut context.request;
        request.key = no_vary_search_key::key(target, &parts.headers, Some(rule));
        request.search_variance = Some(Arc::clone(rule));
        let found = engine
            .tiers
            .lookup_local(&request.key, &parts.headers, engine.clock.now());
        if let Some(found) = found.filter(|found| request.has_same_search_variance(&found.entry)) {
            let response = serve_found::serve_if_usable(context, &found);
            if response.is_some() {
                engine.metrics.hit_local.increment(1);
            } else {
                context.request.candidate = Some(found);
            }
            return response;
        }
    }
    // One lookup in the store must do: it uses the most recent rule.
    let rule = rules.first().filter(|_| engine.tiers.store.is_some());
    let key = rule.map(|rule| no_vary_search_key::key(target, &parts.headers, Some(rule)));
    context.request.key = key.unwrap_or(raw_key);
    context.request.search_variance = rule.map(Arc::clone);
    None
}
