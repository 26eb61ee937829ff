//! Answering a miss from an entry that was found after all, and refreshing the entry if it is due.

use super::{
    context::{CacheContext, CacheResponse},
    lookup::{LookupDecision, decide_for},
    refresh, respond,
};
use crate::{
    clock::Now,
    engine::tiers::Found,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
};

/// Answers from `found`, if it can be used without asking the inner service.
pub(super) fn found<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    found: &Found,
) -> Option<CacheResponse<S, B>> {
    let now = context.engine().clock.now();
    let decision = decide_for(&context.request, found, now);
    decided(context, found, decision, now)
}

/// As [`found`], once it is decided what to do with the entry.
pub(super) fn decided<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    found: &Found,
    decision: LookupDecision,
    now: Now,
) -> Option<CacheResponse<S, B>> {
    if !decision.is_hit() {
        return None;
    }
    let (request, entry) = (&context.request, &found.entry);
    let response = respond::hit(&request.conditions, entry, &context.parts.headers, now)?;
    if decision.wants_refresh() && entry.local.claim_refresh(now.mono) {
        let mut request = request.clone();
        request.candidate = Some(found.clone());
        refresh::start::<S, B>(&context.config, &context.inner, request, &context.parts);
    }
    Some(response)
}
