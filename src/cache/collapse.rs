//! Collapsing requests for the same response: one is forwarded, the others get its response while
//! it arrives.
//!
//! `coalesce` calls the methods of the [`Coalesce`] implementation below: in a leader `find`, then
//! `find_in_store` and `accept`; in a follower `follow`, or `find` if its leader has shared nothing.

use std::sync::Arc;

use super::{
    cache_request::is_shareable,
    context::{CacheContext, CacheResponse},
    lookup_decision::{LookupDecision, decide_for},
    respond, serve_found, stale_on_error,
};
use crate::{
    engine::{
        coalesce::{Coalesce, FollowOutcome},
        fill::Fill,
        fill_lock::Locked,
        single_flight::LeaderGuard,
        tiers::{FoundEntry, StoreLookup},
    },
    fence::verdict::Verdict,
    message::{
        http_service::HttpService, replayable_body::ReplayableBody, shared_buffer::ReaderRefusal,
    },
    semantics::{freshness::Reason, vary},
};

/// A request that waits for the response to another one, or leads.
impl<S: HttpService<B>, B: ReplayableBody> Coalesce for CacheContext<S, B> {
    type SharedResult = Arc<Fill>;
    type StoredResult = FoundEntry;
    type Output = CacheResponse<S, B>;

    const RETRIES_AFTER_END: bool = true;
    const LOCKED: Locked = Locked::Response;

    /// Looks in the local tier; while the inner service fails, also for a stale response.
    async fn find(&mut self) -> Option<Self::Output> {
        let (engine, headers) = (self.engine(), &self.parts.headers);
        let found = engine
            .tiers
            .lookup_local(&self.request.key, headers, engine.clock.now());
        let response = found.and_then(|found| {
            serve_found::serve_if_usable(self, &found)
                .or_else(|| stale_on_error::in_backoff(self, &found))
        });
        response.or_else(|| stale_on_error::in_backoff(self, self.request.candidate.as_ref()?))
    }

    async fn find_in_store(&mut self) -> StoreLookup<FoundEntry> {
        let (engine, request) = (self.config.engine(), &self.request);
        let found = engine
            .tiers
            .lookup_in_store(&request.key, &self.parts.headers)
            .await;
        match found {
            StoreLookup::Found((found, _)) if self.lacks_room_for(&found) => StoreLookup::Nothing,
            StoreLookup::Found((found, now)) if decide_for(request, &found, now).is_hit() => {
                StoreLookup::Found(found)
            }
            StoreLookup::HitForMiss => StoreLookup::HitForMiss,
            _ => StoreLookup::Nothing,
        }
    }

    fn accept(
        &mut self,
        found: FoundEntry,
        flight: &LeaderGuard<Arc<Fill>>,
    ) -> Option<Self::Output> {
        let response = serve_found::serve_if_usable(self, &found)?;
        self.engine().metrics.collapsed.increment(1);
        let variant = self.request.variant(&found.entry, &self.parts.headers);
        if flight.has_followers()
            && found.verdict == Verdict::Usable
            && let Some(fill) = Fill::whole(
                &found.entry,
                variant.as_ref(),
                self.engine().buffers.permit(),
            )
        {
            flight.share(Arc::new(fill));
        }
        Some(response)
    }

    fn follow(&mut self, fill: Arc<Fill>) -> FollowOutcome<Self::Output> {
        let (engine, request) = (self.engine(), &self.request);
        let headers = &self.parts.headers;
        // The fill may have been invalidated since the leader's call. A follower may use it only if
        // it could use it as a stored response (RFC 9111 section 4).
        let now = engine.clock.now();
        let entry = Arc::clone(&fill.head);
        let verdict = engine.fence.check(&entry, request.key.base(), now);
        if verdict != Verdict::Usable {
            return FollowOutcome::Outdated;
        }
        match decide_for(request, &FoundEntry { entry, verdict }, now) {
            decision if decision.is_hit() => {}
            LookupDecision::Validate {
                reason: Reason::Request,
                ..
            } => return FollowOutcome::Unusable,
            _ => {
                note_if_always_validated(self, &fill);
                return FollowOutcome::Outdated;
            }
        }
        if let Some(variant) = &fill.variant
            && !vary::selects(variant, headers)
        {
            let own = vary::hash_for(variant, headers);
            return FollowOutcome::OtherKey(request.key.variant_key(&own));
        }
        match fill.body.reader() {
            Ok(body) => respond::from_fill(engine, request, &fill, body, headers)
                .map_or(FollowOutcome::Outdated, FollowOutcome::Done),
            Err(ReaderRefusal::Late) => FollowOutcome::Outdated,
            Err(ReaderRefusal::NoRoom) => FollowOutcome::Unusable,
        }
    }

    fn is_hit_for_miss(&self) -> bool {
        // While `fill_buffer` is full, a response was probably not shared for lack of room; the next one would
        // not be either.
        self.is_known_hit_for_miss() || self.engine().buffers.is_full()
    }
}

/// Marks the key hit-for-miss if its response must be validated before every use: waiting for it is
/// useless.
fn note_if_always_validated<S, B>(context: &CacheContext<S, B>, fill: &Fill) {
    let Some(response) = fill.head.response() else {
        return;
    };
    if !is_shareable(&response.lifetime) {
        context.request.note_hit_for_miss(context.engine());
    }
}
