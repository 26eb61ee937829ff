//! Deciding how a stored value may be used.

use std::time::Duration;

use crate::{
    clock::Now,
    engine::tiers::FoundEntry,
    fence::verdict::Verdict,
    semantics::{
        cache_control::RequestCacheControl,
        freshness::{Lifetime, Usability, usable},
        refresh_policy::RefreshPolicy,
    },
    store::entry::Content,
};

/// How a value that was found may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueUse {
    Fresh,
    /// It is fresh and due for a refresh, or it is stale and `stale_while_revalidate` allows its use.
    Refresh {
        is_stale: bool,
    },
    /// `stale_if_error` allows its use in place of an error.
    OnError,
}

impl ValueUse {
    /// Whether the value can be returned without calling `make`.
    pub(super) fn is_hit(self) -> bool {
        self != Self::OnError
    }
}

/// Decides how an entry may be used as a value, by the rules for responses (RFC 9111 section 4 and RFC 5861).
/// `None` if it may not be used. A stored response is only used while it is fresh: a request refreshes
/// it.
pub(super) fn decide(found: &FoundEntry, refresh: &RefreshPolicy, now: Now) -> Option<ValueUse> {
    let resident = now.wall.since(found.entry.stored);
    match &found.entry.content {
        Content::Value(value) => decide_value(
            found.verdict,
            &value.lifetime,
            value.cost,
            refresh,
            resident,
        ),
        Content::Response(response) => {
            let usability = usable(&response.lifetime, resident, &NO_DIRECTIVES);
            let is_fresh = matches!(usability, Usability::Fresh { .. });
            (is_fresh && found.verdict == Verdict::Usable).then_some(ValueUse::Fresh)
        }
        Content::Variants(_) => None,
    }
}

fn decide_value(
    verdict: Verdict,
    lifetime: &Lifetime,
    cost: Duration,
    refresh: &RefreshPolicy,
    resident: Duration,
) -> Option<ValueUse> {
    let is_on_error = match (verdict, usable(lifetime, resident, &NO_DIRECTIVES)) {
        (Verdict::Unusable, _) => false,
        (Verdict::Usable, Usability::Fresh { ttl }) if refresh.is_due(cost, ttl) => {
            return Some(ValueUse::Refresh { is_stale: false });
        }
        (Verdict::Usable, Usability::Fresh { .. }) => return Some(ValueUse::Fresh),
        (Verdict::Usable, Usability::Stale { .. }) => {
            return Some(ValueUse::Refresh { is_stale: true });
        }
        // Made stale by a soft invalidation, or possibly invalidated while the journal cannot be read.
        (_, Usability::Fresh { .. }) => !lifetime.stale_if_error.is_zero(),
        (_, Usability::Stale { over, .. }) => over < lifetime.stale_if_error,
        (
            _,
            Usability::Validate {
                on_error_status, ..
            },
        ) => on_error_status,
    };
    is_on_error.then_some(ValueUse::OnError)
}

const NO_DIRECTIVES: RequestCacheControl = RequestCacheControl {
    max_age: None,
    min_fresh: None,
    max_stale: None,
    stale_if_error: None,
    no_cache: false,
    no_store: false,
    only_if_cached: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, verdict: Verdict) -> Option<ValueUse> {
        let secs = Duration::from_secs;
        let lifetime = Lifetime {
            fresh: secs(100),
            stale_while_revalidate: secs(10),
            stale_if_error: secs(50),
            ..Lifetime::default()
        };
        let refresh = RefreshPolicy {
            ahead: Some(secs(20)),
            early: false,
        };
        decide_value(verdict, &lifetime, Duration::ZERO, &refresh, secs(seconds))
    }

    #[test]
    fn a_value_is_fresh_then_stale_then_only_in_place_of_an_error() {
        for (seconds, expected) in [
            (0, Some(ValueUse::Fresh)),
            (80, Some(ValueUse::Fresh)),
            (81, Some(ValueUse::Refresh { is_stale: false })),
            (100, Some(ValueUse::Refresh { is_stale: true })),
            (109, Some(ValueUse::Refresh { is_stale: true })),
            (110, Some(ValueUse::OnError)),
            (149, Some(ValueUse::OnError)),
            (150, None),
        ] {
            assert_eq!(after(seconds, Verdict::Usable), expected, "{seconds}");
        }
    }

    #[test]
    fn what_may_have_been_invalidated_only_replaces_errors() {
        for verdict in [Verdict::Stale, Verdict::Untrusted] {
            for (seconds, expected) in [
                (0, Some(ValueUse::OnError)),
                (149, Some(ValueUse::OnError)),
                (150, None),
            ] {
                assert_eq!(after(seconds, verdict), expected, "{verdict:?} {seconds}");
            }
        }
        assert_eq!(after(0, Verdict::Unusable), None);
    }
}
