//! Answering a request that the local tier could not: from the store, from another request's fill,
//! or from the inner service.

use super::{
    collapse,
    context::{CacheContext, CacheResponse},
    fetch,
    lookup::{LookupDecision, decide_for},
    query_rule, respond, search, serve, stale,
};
use crate::{
    engine::coalesce::Coalesced,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    semantics::cache_status::Forward,
};

/// Answers a request that the local tier could not.
// Not an `async fn`, whose future would hold each argument twice.
#[allow(clippy::manual_async_fn)]
pub(super) fn run<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    body: B,
) -> impl Future<Output = Result<CacheResponse<S, B>, S::ServiceError>> + Send {
    async move {
        if let Some(response) = search::run(&mut context) {
            return Ok(response);
        }
        if let Some(response) = from_store(&mut context).await {
            return Ok(response);
        }
        // Boxed, so that a hit in the store does not allocate the room that a fill takes.
        Box::pin(collapse_or_fetch(context, body)).await
    }
}

/// Answers from the store, if what it holds can be used without asking the inner service; else it
/// becomes the candidate.
async fn from_store<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
) -> Option<CacheResponse<S, B>> {
    let (engine, request) = (context.config.engine(), &context.request);
    let stored = engine
        .tiers
        .lookup_stored(&request.key, &context.parts.headers)
        .await;
    let stored = stored.filter(|(found, _)| query_rule::selects(request, &found.entry));
    if let Some((mut found, now)) = stored {
        let decision = decide_for(request, &found, now);
        let moved = match decision {
            LookupDecision::Fresh => respond::take_hit(&request.conditions, &mut found, now),
            _ => None,
        };
        let response = moved.or_else(|| serve::decided(context, &found, decision, now));
        if response.is_some() {
            engine.metrics.hit_store.increment(1);
            return response;
        }
        context.request.candidate = Some(found);
    }
    stale::in_backoff(context, context.request.candidate.as_ref()?)
}

async fn collapse_or_fetch<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    body: B,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    let request = &mut context.request;
    if request.candidate.is_none() && context.config.engine().tiers.has_variants(&request.key) {
        request.miss_reason = Forward::VaryMiss;
    }
    if request.conditions.directives.only_if_cached {
        return Ok(respond::gateway_timeout(request.forward_reason()));
    }
    match collapse::run(&mut context).await {
        Coalesced::Done(response) => Ok(response),
        Coalesced::Proceed(leader) => fetch::run(context, body, leader).await,
    }
}
