//! Answering a request for which the local tier has no usable response: from the store, from
//! another request's fill, or from the inner service.

use std::sync::Arc;

use super::{
    context::{CacheContext, CacheResponse},
    equivalent_query, forward,
    lookup_decision::{LookupDecision, decide_for},
    respond, serve_found, stale_on_error,
};
use crate::{
    engine::{
        coalesce::{CoalesceOutcome, Leader, coalesce},
        fill::Fill,
        task_keys,
        tiers::StoreLookup,
    },
    message::{
        http_service::HttpService, layer_markers::LayerMarkers, replayable_body::ReplayableBody,
    },
    semantics::cache_status::Forward,
};

/// Answers a request for which the local tier has no usable response.
// Not an `async fn`, whose future would hold each argument twice.
#[allow(clippy::manual_async_fn)]
pub(super) fn answer_miss<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    body: B,
) -> impl Future<Output = Result<CacheResponse<S, B>, S::ServiceError>> + Send {
    async move {
        if context.request.required.is_some()
            && let Some(response) = from_local(&mut context)
        {
            return Ok(response);
        }
        if let Some(response) = equivalent_query::find_equivalent(&mut context) {
            return Ok(response);
        }
        if let Some(response) = from_store(&mut context).await {
            return Ok(response);
        }
        // Boxed, so that the future of a hit in the store stays small.
        Box::pin(collapse_or_forward(context, body)).await
    }
}

/// Answers with the entry in the local tier if it is usable without asking the inner service;
/// otherwise makes it the candidate.
fn from_local<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
) -> Option<CacheResponse<S, B>> {
    let (engine, request) = (context.config.engine(), &context.request);
    let (headers, now) = (&context.parts.headers, engine.clock.now());
    let found = engine.tiers.lookup_local(&request.key, headers, now)?;
    let response = serve_found::serve_if_usable(context, &found);
    match response.is_some() {
        true => engine.metrics.hit_local.increment(1),
        false => context.request.set_candidate(found),
    }
    response
}

/// Answers with the stored entry if it is usable without asking the inner service; otherwise makes
/// it the candidate, and answers with it if the inner service has just failed.
async fn from_store<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
) -> Option<CacheResponse<S, B>> {
    let (engine, request) = (context.config.engine(), &context.request);
    let stored = engine
        .tiers
        .lookup_in_store(&request.key, &context.parts.headers)
        .await;
    context.has_hit_for_miss_note = matches!(stored, StoreLookup::HitForMiss);
    if let StoreLookup::Found((mut found, now)) = stored
        && request.has_same_search_variance(&found.entry)
        && !context.lacks_room_for(&found)
    {
        let decision = decide_for(request, &found, now);
        let taken = match decision {
            LookupDecision::Fresh => respond::take_hit(&request.constraints, &mut found, now),
            _ => None,
        };
        let response =
            taken.or_else(|| serve_found::serve_by_decision(context, &found, decision, now));
        if response.is_some() {
            engine.metrics.hit_store.increment(1);
            return response;
        }
        context.request.set_candidate(found);
    }
    stale_on_error::in_backoff(context, context.request.candidate.as_ref()?)
}

async fn collapse_or_forward<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    body: B,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    let (engine, request) = (context.config.engine(), &mut context.request);
    let (tiers, headers) = (&engine.tiers, &context.parts.headers);
    if request.candidate.is_none() && tiers.lacks_variant(&request.key, headers) {
        request.miss_reason = Forward::VaryMiss;
    }
    if request.constraints.directives.only_if_cached {
        let reason = request.forward_reason(engine.clock.now().wall);
        return Ok(respond::gateway_timeout(reason, "only-if-cached"));
    }
    match join_or_lead(&mut context).await {
        CoalesceOutcome::Done(response) => Ok(response),
        CoalesceOutcome::Proceed(leader) => forward::forward(context, body, leader).await,
    }
}

/// Waits for a request that fetches the same response already, or makes this one the leader.
async fn join_or_lead<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
) -> CoalesceOutcome<CacheResponse<S, B>, Arc<Fill>> {
    let request = &context.request;
    if !request.may_collapse()
        || !request.expects_shareable_response(context.engine())
        || context.is_known_hit_for_miss()
    {
        return CoalesceOutcome::Proceed(None);
    }
    let config = Arc::clone(&context.config);
    let engine = config.engine();
    let key = context.request.key.as_str().to_owned();
    if LayerMarkers::of(&context.parts.extensions).refetch {
        // A refetch, the GET by which `InvalidateLayer` stores the new response after a write, does not
        // wait: the leader may have begun before that write.
        let flight = engine.fills.try_lead(&key);
        return CoalesceOutcome::Proceed(flight.map(|flight| Leader::new(flight, None)));
    }
    // This request was made by the inner service's own work for this key: it must not wait for itself.
    if task_keys::is_making(&engine.fills, &key) {
        return CoalesceOutcome::Proceed(None);
    }
    coalesce(engine, &engine.fills, &key, context).await
}
