//! Answering from an entry that was found after the first lookup in the local tier, and refreshing
//! the entry if it is due.

use super::{
    context::{CacheContext, CacheResponse},
    lookup_decision::{LookupDecision, decide_for},
    refresh, respond,
};
use crate::{
    clock::Now,
    engine::tiers::FoundEntry,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
};

/// Answers from `found`, if it can be used without asking the inner service.
pub(super) fn serve_if_usable<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    found: &FoundEntry,
) -> Option<CacheResponse<S, B>> {
    let now = context.engine().clock.now();
    let decision = decide_for(&context.request, found, now);
    serve_by_decision(context, found, decision, now)
}

/// Answers from `found` if `decision` says that it is a hit.
pub(super) fn serve_by_decision<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    found: &FoundEntry,
    decision: LookupDecision,
    now: Now,
) -> Option<CacheResponse<S, B>> {
    if !decision.is_hit() {
        return None;
    }
    let (request, entry) = (&context.request, &found.entry);
    let response = respond::hit(&request.constraints, entry, &context.parts.headers, now)?;
    if decision.wants_refresh() && entry.local.claim_refresh(now.mono) {
        let mut request = request.clone();
        request.candidate = Some(found.clone());
        refresh::start::<S, B>(&context.config, &context.inner, request, &context.parts);
    }
    Some(response)
}
