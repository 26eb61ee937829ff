//! A compiled table, and what only holds while it is in use.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::HeaderMap;

use crate::{
    clock::Timestamp,
    error::Error,
    fence::fence::Fence,
    semantics::{freshness::Lifetime, sharing::Credentials},
    table::{Plan, Table},
};

/// Compiles the table, and logs each warning of [`Table::check`].
///
/// # Errors
///
/// If the table is wrong; the error says what to write instead.
pub(crate) fn compile(table: &Table) -> Result<Plan, Error> {
    let plan = table.compile()?;
    for warning in table.check() {
        tracing::warn!(%warning, "the table is valid, but may not do what was meant");
    }
    Ok(plan)
}

/// A compiled table, and the run-time versions of its routes' keys.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) plan: Plan,
    /// By route.
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

    /// The table's TTLs are spread a little, so that what was stored together does not expire
    /// together; what the response itself says is kept to the second.
    pub(crate) fn jittered(&self, mut lifetime: Lifetime) -> Lifetime {
        if !lifetime.explicit && !lifetime.heuristic {
            let left = lifetime.fresh.saturating_sub(lifetime.initial_age);
            let spread = left.mul_f64(self.plan.jitter * fastrand::f64());
            lifetime.fresh = lifetime.fresh.saturating_sub(spread);
        }
        lifetime
    }

    pub(crate) fn credentials(&self, headers: &HeaderMap, identified: bool) -> Credentials {
        Credentials::of(headers, identified || self.claims_user(headers))
    }

    /// An identity's header counts even where it names nobody for sure (of two lines, one may be the
    /// client's own): what is answered to it may be somebody's.
    #[inline]
    pub(crate) fn claims_user(&self, headers: &HeaderMap) -> bool {
        let header = self.plan.identity.header.as_ref();
        header.is_some_and(|name| headers.contains_key(name))
    }

    /// When a response stops being of any use.
    pub(crate) fn expiry(
        &self,
        lifetime: &Lifetime,
        received: Timestamp,
        has_validator: bool,
    ) -> Timestamp {
        received.after(lifetime.useful(has_validator).min(self.plan.max_ttl))
    }

    /// The run-time version of a route's keys, 0 for none.
    #[inline]
    pub(crate) fn version(&self, route: usize) -> u64 {
        self.versions
            .get(route)
            .map_or(0, |version| version.load(Ordering::Acquire))
    }
}
