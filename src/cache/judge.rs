//! Whether what was found answers a request.

use std::time::Duration;

use super::answer::Shape;
use crate::{
    clock::Now,
    engine::lookup::Found,
    fence::verdict::Verdict,
    semantics::{
        cache_control::RequestCacheControl,
        freshness::{self, FreshnessState, Reason, Use},
        policy::SharingScope,
        sharing::{self, Credentials},
        stored::StoredResponse,
    },
    store::entry::{Content, Entry},
    table::RoutePlan,
};

/// What of a request decides whether something stored answers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    pub(super) shape: Shape,
    pub(super) directives: RequestCacheControl,
    pub(super) credentials: Credentials,
    pub(super) scope: SharingScope,
}

/// What to do with what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Fresh,
    /// Fresh, and due for a refresh behind the caller's back.
    Ahead,
    /// Stale, and allowed to be for now: refreshed behind the caller's back if `refresh`.
    Stale {
        refresh: bool,
    },
    /// Not without asking the inner service.
    Validate {
        reason: Reason,
        on_error: bool,
        on_disconnect: bool,
    },
    /// Not at all.
    Refused,
}

impl Judged {
    /// Whether the inner service need not be asked first.
    pub(super) fn serves(self) -> bool {
        matches!(self, Self::Fresh | Self::Ahead | Self::Stale { .. })
    }

    pub(super) fn wants_refresh(self) -> bool {
        matches!(self, Self::Ahead | Self::Stale { refresh: true })
    }
}

/// RFC 9111 section 4, and what the fence and the table add.
pub(super) fn judge(traits: &Traits, route: Option<&RoutePlan>, found: &Found, now: Now) -> Judged {
    match standing(&found.entry, now) {
        Some((response, standing)) => judge_at(traits, route, found.verdict, response, &standing),
        None => Judged::Refused,
    }
}

/// An entry's response, and how it stands; `None` if it is something else.
#[inline(always)]
pub(super) fn standing(entry: &Entry, now: Now) -> Option<(&StoredResponse, FreshnessState)> {
    let Content::Response(response) = &entry.content else {
        return None;
    };
    let resident = now.wall.since(entry.stored);
    Some((response, response.lifetime.standing(resident)))
}

/// As [`judge`], of a response that stands so.
#[inline(always)]
pub(super) fn judge_at(
    traits: &Traits,
    route: Option<&RoutePlan>,
    verdict: Verdict,
    response: &StoredResponse,
    standing: &FreshnessState,
) -> Judged {
    if !may_have(traits, route, response) {
        return Judged::Refused;
    }
    let judged = freshness::usable_at(&response.lifetime, standing, &traits.directives);
    match (verdict, judged) {
        (Verdict::Usable, Use::Fresh { ttl }) if due(route, response, ttl) => Judged::Ahead,
        (Verdict::Usable, Use::Fresh { .. }) => Judged::Fresh,
        (verdict, judged) => less_than_fresh(verdict, judged, response),
    }
}

// Out of the way of what is fresh.
#[cold]
fn less_than_fresh(verdict: Verdict, judged: Use, response: &StoredResponse) -> Judged {
    match (verdict, judged) {
        (Verdict::Unusable, _) => Judged::Refused,
        // Nobody can tell whether it was invalidated: good only where an error is worse.
        (Verdict::Untrusted, judged) => Judged::Validate {
            reason: Reason::Stale,
            on_error: response.lifetime.stale_if_error > Duration::ZERO && excuses(judged),
            on_disconnect: false,
        },
        (Verdict::Stale, Use::Fresh { .. }) => Judged::Validate {
            reason: Reason::Stale,
            on_error: response.lifetime.stale_if_error > Duration::ZERO,
            on_disconnect: !response.lifetime.must_revalidate,
        },
        // What it names is validated before it is used, whoever would take something stale.
        (Verdict::Stale, Use::Stale { over, .. }) => Judged::Validate {
            reason: Reason::Stale,
            on_error: over < response.lifetime.stale_if_error,
            on_disconnect: true,
        },
        (_, Use::Fresh { .. }) => Judged::Fresh,
        (_, Use::Stale { revalidate, .. }) => Judged::Stale {
            refresh: revalidate,
        },
        (
            _,
            Use::Validate {
                reason,
                on_error,
                on_disconnect,
            },
        ) => Judged::Validate {
            reason,
            on_error,
            on_disconnect,
        },
    }
}

/// RFC 9111 section 3.5, and what the table adds.
#[inline]
pub(super) fn may_have(
    traits: &Traits,
    route: Option<&RoutePlan>,
    response: &StoredResponse,
) -> bool {
    let listed = route.is_some();
    sharing::may_serve(traits.credentials, traits.scope, listed, &response.lifetime)
}

/// Whether an error excuses the answer: within its window, and where nothing forbids it.
fn excuses(judged: Use) -> bool {
    !matches!(
        judged,
        Use::Validate {
            on_error: false,
            ..
        }
    )
}

/// Whether a fresh response is to be refreshed ahead of its end.
#[inline]
fn due(route: Option<&RoutePlan>, response: &StoredResponse, left: Duration) -> bool {
    let Some(route) = route else {
        return false;
    };
    route.refresh_ahead.is_some_and(|ahead| left < ahead)
        || route.early_refresh && is_early(response.cost, left, fastrand::f64())
}

/// Optimal probabilistic early expiration (XFetch): the dearer a response and the nearer its end,
/// the likelier one of many requests refreshes it before it ends. `chance` is at least 0, below 1.
fn is_early(cost: Duration, left: Duration, chance: f64) -> bool {
    left.as_secs_f64() < -cost.as_secs_f64() * (1.0 - chance).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearer_and_the_nearer_its_end_the_likelier_it_is_refreshed() {
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
