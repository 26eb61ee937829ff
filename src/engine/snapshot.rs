//! The table in use, and the storage decisions that depend on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header::COOKIE, response};

use super::head::StoredHead;
use crate::{
    clock::Timestamp,
    error::Error,
    fence::core::Fence,
    semantics::{
        etag,
        freshness::{Exchange, Lifetime},
        request_head::RequestHead,
        sharing::Credentials,
        storable::{self, Refusal},
        storage_policy::StoragePolicy,
        stored_fields::FieldFilter,
        stored_response::StoredResponse,
        vary::VaryFields,
    },
    table::{Plan, RoutePlan, Table, Unlisted},
};

/// A compiled table, and the versions of its routes' keys, which change at run time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) plan: Plan,
    /// By route id.
    versions: Box<[Arc<AtomicU64>]>,
}

impl Snapshot {
    pub(crate) fn new(plan: Plan, fence: &Fence) -> Self {
        let last = plan.routes().iter().map(|route| route.id).max();
        let mut versions = vec![Arc::default(); last.map_or(0, |last| last + 1)];
        for route in plan.routes() {
            versions[route.id] = fence.version(&route.entity);
        }
        Self {
            plan,
            versions: versions.into(),
        }
    }

    /// Shortens a lifetime that comes from the table at random by up to `jitter`, so that responses that
    /// were stored together do not expire together. A lifetime from the response's own fields is not
    /// changed.
    pub(crate) fn with_jitter(&self, mut lifetime: Lifetime) -> Lifetime {
        if !lifetime.explicit && !lifetime.heuristic {
            let left = lifetime.fresh.saturating_sub(lifetime.initial_age);
            let spread = left.mul_f64(self.plan.jitter * fastrand::f64());
            lifetime.fresh = lifetime.fresh.saturating_sub(spread);
        }
        lifetime
    }

    /// The credentials of a request. `is_identified`: whether its user is known.
    pub(crate) fn credentials(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        is_identified: bool,
    ) -> Credentials {
        let has_user = is_identified || self.plan.identity.has_credentials(headers, query);
        Credentials::from_presence(has_user, headers.contains_key(COOKIE))
    }

    /// The time after which a response can no longer be used, not even stale.
    pub(crate) fn expiry(
        &self,
        lifetime: &Lifetime,
        received: Timestamp,
        has_validator: bool,
    ) -> Timestamp {
        received.after(lifetime.retention(has_validator).min(self.plan.max_ttl))
    }

    /// The current version of a route's keys; 0 if it was never bumped.
    #[inline]
    pub(crate) fn version(&self, route: usize) -> u64 {
        self.versions
            .get(route)
            .map_or(0, |version| version.load(Ordering::Acquire))
    }

    /// The storage policy of a route, or of paths without a route, for which `unlisted_ttl` is the
    /// layer's TTL.
    pub(crate) fn policy<'a>(
        &self,
        route: Option<&'a RoutePlan>,
        unlisted_ttl: Option<Duration>,
    ) -> StoragePolicy<'a> {
        let max = self.plan.max_ttl;
        match route {
            Some(route) => route.policy(max),
            None => StoragePolicy {
                ttl: unlisted_ttl,
                max,
                heuristic: self.plan.unlisted == Unlisted::Standard,
                ..StoragePolicy::STANDARD
            },
        }
    }

    /// The head to store for the response to `request`; `vary` are the route's fields.
    ///
    /// # Errors
    ///
    /// Why the response must not be stored.
    pub(crate) fn storable(
        &self,
        request: &RequestHead<'_>,
        head: &response::Parts,
        exchange: &Exchange,
        policy: &StoragePolicy<'_>,
        vary: &[HeaderName],
    ) -> Result<StoredHead, Refusal> {
        let lifetime = storable::decide(request, head.status, &head.headers, exchange, policy)?;
        let lifetime = self.with_jitter(lifetime);
        let vary = VaryFields::of(&head.headers, vary).map_err(|_| Refusal::Vary)?;
        let received = exchange.received;
        let headers = FieldFilter::of(&head.headers, policy.strip).select(&head.headers, received);
        let has_validator = etag::can_be_validated(head.status, &headers);
        Ok(StoredHead {
            vary,
            stored: received,
            expires: self.expiry(&lifetime, received, has_validator),
            response: StoredResponse {
                status: head.status,
                headers,
                body: Bytes::new(),
                trailers: None,
                lifetime,
                part: None,
                cost: received.since(exchange.requested),
            },
        })
    }
}

/// Compiles the table, and logs each warning of [`Table::check`].
///
/// # Errors
///
/// If the table is wrong; the error says what to write instead.
pub(crate) fn compile(table: &Table) -> Result<Plan, Error> {
    let plan = table.compile()?;
    for warning in table.check() {
        tracing::warn!(%warning, "the table is valid, but may not behave as intended");
    }
    Ok(plan)
}
