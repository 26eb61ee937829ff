//! How long a storable response is fresh, by the table's precedence, and what it is kept for.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};

use super::{
    freshness::{Exchange, Lifetime},
    heuristics,
    policy::{Policy, Scope},
    storable::{RequestHead, can_be_validated},
    targeted::Binding,
};

/// A response that may be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) exchange: &'a Exchange,
    pub(super) binding: &'a Binding,
}

/// Where a freshness lifetime comes from.
enum Source {
    Response(Duration),
    /// Counted from when the response was received.
    Table(Duration),
    Guess(Duration),
    Nothing,
}

impl Response<'_> {
    /// `None` when it would be of use to nobody.
    pub(super) fn lifetime(
        &self,
        request: &RequestHead<'_>,
        policy: &Policy<'_>,
    ) -> Option<Lifetime> {
        let lifetime = self.terms(request, policy);
        self.is_worth_keeping(&lifetime).then_some(lifetime)
    }

    fn terms(&self, request: &RequestHead<'_>, policy: &Policy<'_>) -> Lifetime {
        let directives = &self.binding.directives;
        let initial_age = self.exchange.initial_age(self.headers);
        let overridden = self.overrides(request, policy);
        let source = match overridden {
            Some(ttl) => Source::Table(ttl),
            None => self.source(request, policy),
        };
        let fresh = match source {
            Source::Response(fresh) | Source::Guess(fresh) => fresh.min(policy.max),
            Source::Table(ttl) => initial_age.saturating_add(ttl.min(policy.max)),
            Source::Nothing => Duration::ZERO,
        };
        let must_revalidate = directives.forbids_stale();
        let no_cache = directives.no_cache.is_whole() && overridden.is_none();
        let window = |own: Option<Duration>, table: Option<Duration>| {
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
            heuristic: matches!(source, Source::Guess(_)),
            explicit: matches!(source, Source::Response(_)),
            shared: directives.shares(),
        }
    }

    /// The table's TTL where it outranks the response's own.
    fn overrides(&self, request: &RequestHead<'_>, policy: &Policy<'_>) -> Option<Duration> {
        let may = policy.override_ && table_applies(request, policy);
        may.then(|| policy.ttl_of(self.status)).flatten()
    }

    fn source(&self, request: &RequestHead<'_>, policy: &Policy<'_>) -> Source {
        let directives = &self.binding.directives;
        let own = self
            .exchange
            .explicit_lifetime(directives, self.headers, !self.binding.targeted);
        if let Some(fresh) = own {
            return Source::Response(fresh);
        }
        if !table_applies(request, policy) {
            return Source::Nothing;
        }
        if let Some(ttl) = policy.ttl_of(self.status) {
            return Source::Table(ttl);
        }
        let may_guess = policy.heuristic
            && request.method != Method::POST
            && (directives.public || heuristics::is_cacheable(self.status));
        may_guess
            .then(|| heuristics::lifetime(self.headers, self.exchange))
            .flatten()
            .map_or(Source::Nothing, Source::Guess)
    }

    /// Of use to someone: fresh, usable when stale, or to be validated.
    fn is_worth_keeping(&self, lifetime: &Lifetime) -> bool {
        let fresh = !lifetime.no_cache && lifetime.fresh > lifetime.initial_age;
        let stale =
            !lifetime.stale_while_revalidate.is_zero() || !lifetime.stale_if_error.is_zero();
        fresh
            || stale
            || (self.is_cacheable(lifetime) && can_be_validated(self.status, self.headers))
    }

    /// The last condition of section 3.
    fn is_cacheable(&self, lifetime: &Lifetime) -> bool {
        lifetime.explicit || self.binding.directives.public || heuristics::is_cacheable(self.status)
    }
}

/// Neither the table's TTL nor a guess applies to a response made for somebody.
fn table_applies(request: &RequestHead<'_>, policy: &Policy<'_>) -> bool {
    policy.scope != Scope::Standard || !request.credentials.any()
}
