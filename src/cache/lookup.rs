//! Looking a request up in the local tier, and deciding whether what was found answers it.

use std::time::Duration;

use http::{HeaderMap, Response};

use super::{
    cache_request::{CacheRequest, CacheRequestRef},
    conditions::RequestConditions,
    respond,
};
use crate::{
    clock::Now,
    engine::{core::Engine, tiers::Found},
    fence::verdict::Verdict,
    message::{prebuilt_head::PrebuiltResponse, response_body::ResponseBody},
    semantics::{
        freshness::{self, FreshnessState, Reason, Use},
        stored::StoredResponse,
    },
    table::RoutePlan,
};

/// The result of a lookup in the local tier.
pub(super) enum LocalLookup<B> {
    /// A fresh response that is sent whole.
    Prebuilt(PrebuiltResponse),
    Hit(Response<ResponseBody<B>>),
    /// A hit whose entry this request has to refresh in the background.
    HitToRefresh(Response<ResponseBody<B>>, Found),
    /// No entry, or one that cannot be used without asking the inner service.
    Miss(Option<Found>),
}

/// Looks for a stored response in the local tier.
#[inline(always)]
pub(super) fn look_up_local<B>(
    engine: &Engine,
    request: &CacheRequestRef<'_>,
    headers: &HeaderMap,
) -> LocalLookup<B> {
    let now = engine.clock.now();
    let Some(found) = engine.tiers.lookup_local(request.key, headers, now) else {
        return LocalLookup::Miss(None);
    };
    let Some(response) = found.entry.response() else {
        return LocalLookup::Miss(Some(found));
    };
    let route = request.route.map(|route| &**route);
    let freshness = response
        .lifetime
        .standing(now.wall.since(found.entry.stored));
    let decision = decide(
        &request.conditions,
        route,
        found.verdict,
        response,
        &freshness,
    );
    if decision == LookupDecision::Fresh
        && let Some(prebuilt) =
            respond::prebuilt(&request.conditions, &found.entry, response, &freshness)
    {
        engine.metrics.hit_local.increment(1);
        return LocalLookup::Prebuilt(prebuilt);
    }
    look_up_made(engine, request, headers, now, found, decision)
}

/// Answers with what was found, if it is a hit for which nothing is prebuilt.
#[inline(never)]
fn look_up_made<B>(
    engine: &Engine,
    request: &CacheRequestRef<'_>,
    headers: &HeaderMap,
    now: Now,
    found: Found,
    decision: LookupDecision,
) -> LocalLookup<B> {
    let response = match decision.is_hit() {
        true => respond::hit(&request.conditions, &found.entry, headers, now),
        false => None,
    };
    let Some(response) = response else {
        return LocalLookup::Miss(Some(found));
    };
    engine.metrics.hit_local.increment(1);
    if decision.wants_refresh() && found.entry.local.claim_refresh(now.mono) {
        LocalLookup::HitToRefresh(response, found)
    } else {
        LocalLookup::Hit(response)
    }
}

/// What to do with an entry that was found for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookupDecision {
    Fresh,
    /// Fresh, and due for a refresh in the background.
    RefreshAhead,
    /// Stale, but usable (`max-stale` or `stale-while-revalidate`).
    Stale {
        refresh: bool,
    },
    /// Not usable without asking the inner service.
    Validate {
        reason: Reason,
        /// Whether it may stand in for an error response.
        on_error: bool,
        /// Whether it may stand in if the inner service cannot be reached.
        on_disconnect: bool,
    },
    /// Not usable at all.
    Unusable,
}

impl LookupDecision {
    /// Whether the entry answers the request without asking the inner service.
    pub(super) fn is_hit(self) -> bool {
        matches!(self, Self::Fresh | Self::RefreshAhead | Self::Stale { .. })
    }

    pub(super) fn wants_refresh(self) -> bool {
        matches!(self, Self::RefreshAhead | Self::Stale { refresh: true })
    }
}

/// [`decide`] for a [`CacheRequest`].
pub(super) fn decide_for(request: &CacheRequest, found: &Found, now: Now) -> LookupDecision {
    let Some(response) = found.entry.response() else {
        return LookupDecision::Unusable;
    };
    let freshness = response
        .lifetime
        .standing(now.wall.since(found.entry.stored));
    let route = request.route.as_deref();
    decide(
        &request.conditions,
        route,
        found.verdict,
        response,
        &freshness,
    )
}

/// Decides what to do with an entry by RFC 9111 section 4, the fence and the table.
#[inline(always)]
fn decide(
    conditions: &RequestConditions,
    route: Option<&RoutePlan>,
    verdict: Verdict,
    response: &StoredResponse,
    freshness: &FreshnessState,
) -> LookupDecision {
    let lifetime = &response.lifetime;
    if !conditions.permit(route.is_some(), lifetime) {
        return LookupDecision::Unusable;
    }
    let usability = freshness::usable_at(lifetime, freshness, &conditions.directives);
    match (verdict, usability) {
        (Verdict::Usable, Use::Fresh { ttl }) if is_refresh_due(route, response, ttl) => {
            LookupDecision::RefreshAhead
        }
        (Verdict::Usable, Use::Fresh { .. }) => LookupDecision::Fresh,
        (verdict, usability) => decide_not_fresh(verdict, usability, response),
    }
}

// Not inlined, to keep the code of a fresh hit small.
#[cold]
fn decide_not_fresh(verdict: Verdict, usability: Use, response: &StoredResponse) -> LookupDecision {
    let lifetime = &response.lifetime;
    let may_replace_error = lifetime.stale_if_error > Duration::ZERO;
    let stale = |on_error, on_disconnect| LookupDecision::Validate {
        reason: Reason::Stale,
        on_error,
        on_disconnect,
    };
    match (verdict, usability) {
        (Verdict::Unusable, _) => LookupDecision::Unusable,
        // The journal cannot be read, so it may have been invalidated: use it only in place of an error.
        (
            Verdict::Untrusted,
            Use::Validate {
                on_error: false, ..
            },
        ) => stale(false, false),
        (Verdict::Untrusted, _) => stale(may_replace_error, false),
        (Verdict::Stale, Use::Fresh { .. }) => stale(may_replace_error, !lifetime.must_revalidate),
        // After a soft invalidation it is validated, although the client accepts a stale response.
        (Verdict::Stale, Use::Stale { over, .. }) => stale(over < lifetime.stale_if_error, true),
        (_, Use::Fresh { .. }) => LookupDecision::Fresh,
        (_, Use::Stale { revalidate, .. }) => LookupDecision::Stale {
            refresh: revalidate,
        },
        (
            _,
            Use::Validate {
                reason,
                on_error,
                on_disconnect,
            },
        ) => LookupDecision::Validate {
            reason,
            on_error,
            on_disconnect,
        },
    }
}

/// Whether a response that stays fresh for `left` is due for a refresh.
#[inline]
fn is_refresh_due(route: Option<&RoutePlan>, response: &StoredResponse, left: Duration) -> bool {
    let Some(route) = route else {
        return false;
    };
    route.refresh_ahead.is_some_and(|ahead| left < ahead)
        || route.early_refresh && is_early(response.cost, left, fastrand::f64())
}

/// Optimal probabilistic early expiration (XFetch): the costlier a response and the nearer its
/// expiry, the likelier it is that one of many requests refreshes it before it expires. `chance` is
/// at least 0 and below 1.
fn is_early(cost: Duration, left: Duration, chance: f64) -> bool {
    left.as_secs_f64() < -cost.as_secs_f64() * (1.0 - chance).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costly_responses_near_their_expiry_are_likely_to_be_refreshed() {
        let refreshed = |cost, left| {
            let left = Duration::from_millis(left);
            let early = |n| is_early(Duration::from_millis(cost), left, f64::from(n) / 1000.0);
            (0..1000).filter(|n| early(*n)).count()
        };
        // The chance is e^(-left/cost).
        assert_eq!(refreshed(100, 100), 367);
        assert_eq!(refreshed(100, 200), 135);
        assert_eq!(refreshed(200, 200), 367);
        assert_eq!(refreshed(100, 10_000), 0);
        assert_eq!(refreshed(0, 1), 0);
    }
}
