//! The lifetime of a storable response: its own, or one that the table gives.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};

use super::{
    etag,
    freshness::{Exchange, Lifetime},
    heuristics,
    request_head::RequestHead,
    storage_policy::{SharingScope, StoragePolicy},
    targeted::EffectiveDirectives,
};

/// A response that may be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorableResponse<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) exchange: &'a Exchange,
    pub(super) effective: &'a EffectiveDirectives,
}

/// The source of a freshness lifetime.
enum FreshnessSource {
    Response(Duration),
    /// The table's TTL, counted from when the response was received.
    Table(Duration),
    /// An estimate (RFC 9111 section 4.2.2).
    Heuristic(Duration),
    None,
}

impl StorableResponse<'_> {
    /// The lifetime; `None` if the response can never be used.
    pub(super) fn lifetime(
        &self,
        request: &RequestHead<'_>,
        policy: &StoragePolicy<'_>,
    ) -> Option<Lifetime> {
        let lifetime = self.unchecked_lifetime(request, policy);
        self.is_worth_keeping(&lifetime).then_some(lifetime)
    }

    fn unchecked_lifetime(
        &self,
        request: &RequestHead<'_>,
        policy: &StoragePolicy<'_>,
    ) -> Lifetime {
        let directives = &self.effective.directives;
        let initial_age = self.exchange.initial_age(self.headers);
        let overridden = self.overriding_ttl(request, policy);
        let source = match overridden {
            Some(ttl) => FreshnessSource::Table(ttl),
            None => self.source(request, policy),
        };
        let fresh = match source {
            FreshnessSource::Response(fresh) | FreshnessSource::Heuristic(fresh) => {
                fresh.min(policy.max)
            }
            FreshnessSource::Table(ttl) => initial_age.saturating_add(ttl.min(policy.max)),
            FreshnessSource::None => Duration::ZERO,
        };
        let must_revalidate = directives.forbids_stale();
        let no_cache = directives.no_cache.is_whole() && overridden.is_none();
        // The table's windows are for what it gives a lifetime, or what states one, not for any error.
        let has_source = !matches!(source, FreshnessSource::None);
        let table_applies = has_source || self.status.is_success();
        let window = |own: Option<Duration>, table: Option<Duration>| {
            let table = table.filter(|_| table_applies);
            let given = own.or(table).filter(|_| !must_revalidate && !no_cache);
            given.unwrap_or_default().min(policy.max)
        };
        Lifetime {
            fresh,
            initial_age,
            stale_while_revalidate: window(
                directives.stale_while_revalidate,
                policy.stale_while_revalidate,
            ),
            stale_if_error: window(directives.stale_if_error, policy.stale_if_error),
            must_revalidate,
            no_cache,
            heuristic: matches!(source, FreshnessSource::Heuristic(_)),
            explicit: matches!(source, FreshnessSource::Response(_)),
            shared: directives.shares(),
        }
    }

    /// The table's TTL, if it takes precedence over the response's own lifetime.
    fn overriding_ttl(
        &self,
        request: &RequestHead<'_>,
        policy: &StoragePolicy<'_>,
    ) -> Option<Duration> {
        let may = policy.override_freshness && table_applies(request, policy);
        may.then(|| policy.ttl_of(self.status)).flatten()
    }

    fn source(&self, request: &RequestHead<'_>, policy: &StoragePolicy<'_>) -> FreshnessSource {
        let directives = &self.effective.directives;
        let own =
            self.exchange
                .explicit_lifetime(directives, self.headers, !self.effective.targeted);
        if let Some(fresh) = own {
            return FreshnessSource::Response(fresh);
        }
        if !table_applies(request, policy) {
            return FreshnessSource::None;
        }
        if let Some(ttl) = policy.ttl_of(self.status) {
            return FreshnessSource::Table(ttl);
        }
        let may_use_heuristic =
            policy.heuristic && (directives.public || heuristics::is_cacheable(self.status));
        may_use_heuristic
            .then(|| heuristics::lifetime(self.headers, self.exchange))
            .flatten()
            .map_or(FreshnessSource::None, FreshnessSource::Heuristic)
    }

    /// Whether the response is fresh, usable when stale, or can be validated.
    fn is_worth_keeping(&self, lifetime: &Lifetime) -> bool {
        let fresh = !lifetime.no_cache && lifetime.fresh > lifetime.initial_age;
        let stale =
            !lifetime.stale_while_revalidate.is_zero() || !lifetime.stale_if_error.is_zero();
        let is_validated = etag::can_be_validated(self.status, self.headers);
        fresh || (self.is_cacheable(lifetime) && (stale || is_validated))
    }

    /// Whether the last condition of RFC 9111 section 3 holds: freshness is explicit, the response is
    /// `public`, or its status is heuristically cacheable.
    fn is_cacheable(&self, lifetime: &Lifetime) -> bool {
        lifetime.explicit
            || self.effective.directives.public
            || heuristics::is_cacheable(self.status)
    }
}

/// Whether the table's TTL and heuristics apply: not if the response may depend on credentials, nor to
/// POST, which needs explicit freshness (RFC 9110 section 9.3.3) unless the route declares it safe.
fn table_applies(request: &RequestHead<'_>, policy: &StoragePolicy<'_>) -> bool {
    (policy.scope != SharingScope::Standard || !request.credentials.any())
        && (request.method != Method::POST || policy.safe_method)
}
