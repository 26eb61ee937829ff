//! Looking a request up in the local tier.

use http::{Response, request};

use super::{
    cache_request::CacheRequestRef,
    config::Config,
    lookup_decision::{LookupDecision, decide},
    respond,
};
use crate::{
    clock::Now,
    engine::tiers::FoundEntry,
    message::{prebuilt_head::PrebuiltResponse, response_body::ResponseBody},
};

/// The result of a lookup in the local tier.
pub(super) enum LocalLookup<B> {
    /// A hit with a fresh entry that is sent whole.
    Prebuilt(PrebuiltResponse),
    Hit(Response<ResponseBody<B>>),
    /// A hit whose entry this request has to refresh in the background.
    HitToRefresh(Response<ResponseBody<B>>, FoundEntry),
    /// No entry, or one that cannot be used without asking the inner service.
    Miss(Option<FoundEntry>),
}

/// Looks for a stored response in the local tier.
#[inline(always)]
pub(super) fn lookup_local<B>(
    config: &Config,
    request: &CacheRequestRef<'_>,
    parts: &request::Parts,
) -> LocalLookup<B> {
    let engine = config.engine();
    let now = engine.clock.now();
    let Some(found) = engine.tiers.lookup_local(request.key, &parts.headers, now) else {
        return LocalLookup::Miss(None);
    };
    let Some(response) = found.entry.response() else {
        return LocalLookup::Miss(Some(found));
    };
    let route = request.route.map(|route| &**route);
    let freshness = response
        .lifetime
        .state_after(now.wall.since(found.entry.stored));
    let decision = decide(
        &request.constraints,
        route,
        found.verdict,
        response,
        &freshness,
    );
    if decision == LookupDecision::Fresh
        && let Some(prebuilt) =
            respond::prebuilt(&request.constraints, &found.entry, response, &freshness)
    {
        engine.metrics.hit_local.increment(1);
        return LocalLookup::Prebuilt(prebuilt);
    }
    answer_without_prebuilt(config, request, parts, now, found, decision)
}

/// Answers from a found entry that has no prebuilt response for this request, if it is a hit.
#[inline(never)]
fn answer_without_prebuilt<B>(
    config: &Config,
    request: &CacheRequestRef<'_>,
    parts: &request::Parts,
    now: Now,
    found: FoundEntry,
    decision: LookupDecision,
) -> LocalLookup<B> {
    // The stored response must not answer its own refresh.
    let is_refresh = || decision.wants_refresh() && config.is_nested(parts);
    let response = match decision.is_hit() && !is_refresh() {
        true => respond::hit(&request.constraints, &found.entry, &parts.headers, now),
        false => None,
    };
    let Some(response) = response else {
        return LocalLookup::Miss(Some(found));
    };
    config.engine().metrics.hit_local.increment(1);
    if decision.wants_refresh() && found.entry.local.claim_refresh(now.mono) {
        LocalLookup::HitToRefresh(response, found)
    } else {
        LocalLookup::Hit(response)
    }
}
