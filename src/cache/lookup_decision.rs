//! Deciding how a stored entry may be used for a request.

use std::time::Duration;

use super::{cache_request::CacheRequest, request_constraints::RequestConstraints};
use crate::{
    clock::Now,
    engine::tiers::FoundEntry,
    fence::verdict::Verdict,
    semantics::{
        freshness::{self, FreshnessState, Reason, Usability},
        refresh_policy::RefreshPolicy,
        stored_response::StoredResponse,
    },
    table::RoutePlan,
};

/// How an entry that was found may be used for a request.
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
        /// Whether it may replace a 500, 502, 503 or 504, or an error of the inner service:
        /// `stale-if-error` allows it, or it is fresh and only the request's `max-age` or
        /// `min-fresh` refuses it.
        on_error_status: bool,
        /// Whether it is allowed in place of an error of the inner service, or of a body that breaks
        /// off, even without `stale-if-error`.
        on_service_error: bool,
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

/// [`decide`] for a [`CacheRequest`], at `now`.
pub(super) fn decide_for(request: &CacheRequest, found: &FoundEntry, now: Now) -> LookupDecision {
    let response = found.entry.response();
    let Some(response) = response.filter(|_| request.is_recent_enough(&found.entry)) else {
        return LookupDecision::Unusable;
    };
    let freshness = response
        .lifetime
        .state_after(now.wall.since(found.entry.stored));
    let route = request.route.as_deref();
    decide(
        &request.constraints,
        route,
        found.verdict,
        response,
        &freshness,
    )
}

/// Decides how an entry may be used by RFC 9111 section 4, the fence's verdict and the route.
#[inline(always)]
pub(super) fn decide(
    constraints: &RequestConstraints,
    route: Option<&RoutePlan>,
    verdict: Verdict,
    response: &StoredResponse,
    freshness: &FreshnessState,
) -> LookupDecision {
    let lifetime = &response.lifetime;
    if !constraints.permit(route.is_some(), lifetime) {
        return LookupDecision::Unusable;
    }
    let usability = freshness::usable_at(lifetime, freshness, &constraints.directives);
    match (verdict, usability) {
        (Verdict::Usable, Usability::Fresh { ttl })
            if is_refresh_due(route, response, ttl) && constraints.can_refresh =>
        {
            LookupDecision::RefreshAhead
        }
        (Verdict::Usable, Usability::Fresh { .. }) => LookupDecision::Fresh,
        (verdict, usability) => decide_not_fresh(constraints, verdict, usability, response),
    }
}

// Not inlined, to keep the code of a fresh hit small.
#[cold]
fn decide_not_fresh(
    constraints: &RequestConstraints,
    verdict: Verdict,
    usability: Usability,
    response: &StoredResponse,
) -> LookupDecision {
    let lifetime = &response.lifetime;
    let may_replace_error = lifetime.stale_if_error > Duration::ZERO;
    let validate_stale = |on_error_status, on_service_error| LookupDecision::Validate {
        reason: Reason::Stale,
        on_error_status,
        on_service_error,
    };
    match (verdict, usability) {
        (Verdict::Unusable, _) => LookupDecision::Unusable,
        // Untrusted: the journal cannot be read, so the entry may have been invalidated. It may only
        // replace an error, if at all.
        (
            Verdict::Untrusted,
            Usability::Validate {
                on_error_status: false,
                ..
            },
        ) => validate_stale(false, false),
        (Verdict::Untrusted, _) => validate_stale(may_replace_error, false),
        (Verdict::Stale, Usability::Fresh { .. }) => {
            validate_stale(may_replace_error, !lifetime.must_revalidate)
        }
        // After a soft invalidation it is validated, although it could be served stale.
        (Verdict::Stale, Usability::Stale { over, .. }) => {
            validate_stale(over < lifetime.stale_if_error, true)
        }
        // Not reached: `decide` has handled it.
        (_, Usability::Fresh { .. }) => LookupDecision::Fresh,
        // Soft invalidation: its own freshness, which the request's directives refuse, has ended.
        (
            Verdict::Stale,
            Usability::Validate {
                reason,
                on_error_status: true,
                on_service_error: true,
            },
        ) => LookupDecision::Validate {
            reason,
            on_error_status: may_replace_error,
            on_service_error: !lifetime.must_revalidate,
        },
        // Without a refresh in the background it would be served until the end of
        // `stale-while-revalidate`.
        (
            _,
            Usability::Stale {
                revalidate: true,
                over,
            },
        ) if !constraints.can_refresh => validate_stale(over < lifetime.stale_if_error, true),
        (_, Usability::Stale { revalidate, .. }) => LookupDecision::Stale {
            refresh: revalidate,
        },
        (
            _,
            Usability::Validate {
                reason,
                on_error_status,
                on_service_error,
            },
        ) => LookupDecision::Validate {
            reason,
            on_error_status,
            on_service_error,
        },
    }
}

/// Whether a response that stays fresh for `left` is due for a refresh.
#[inline]
fn is_refresh_due(route: Option<&RoutePlan>, response: &StoredResponse, left: Duration) -> bool {
    let Some(route) = route else {
        return false;
    };
    let policy = RefreshPolicy {
        ahead: route.refresh_ahead,
        early: route.early_refresh,
    };
    policy.is_due(response.cost, left)
}
