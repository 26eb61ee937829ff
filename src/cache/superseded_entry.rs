//! Removing a stored response that the inner service has superseded.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};

use super::{cache_request::CacheRequest, origin_response::OriginHead};
use crate::{
    clock::Timestamp,
    engine::{core::Engine, tiers::FoundEntry},
    fence::verdict::Verdict,
    key::KeyBuf,
    semantics::{
        freshness::Lifetime,
        storable::{self, Refusal},
        storage_policy::SharingScope,
    },
    store::entry::Entry,
};

/// A stored response that a newer one supersedes, and the key under which it was found.
pub(super) struct SupersededEntry {
    key: KeyBuf,
    entry: Arc<Entry>,
}

impl SupersededEntry {
    /// The stored response that was found for `request`.
    pub(super) fn of(request: &CacheRequest) -> Option<Self> {
        let found = request.found()?;
        Some(Self {
            key: request.key.clone(),
            entry: Arc::clone(&found.entry),
        })
    }

    /// Removes it from both tiers; `headers` are the fields of the client's request, which select
    /// the variant.
    pub(super) async fn remove(&self, engine: &Engine, headers: &HeaderMap) {
        let tiers = &engine.tiers;
        tiers.remove_response(&self.key, headers, &self.entry).await;
    }
}

/// The stored response that must be removed because the inner service has sent another one, which
/// may not be stored for the reason `refusal` (RFC 9111 section 4.3.3).
pub(super) fn superseded(
    request: &CacheRequest,
    head: &OriginHead,
    refusal: Refusal,
) -> Option<SupersededEntry> {
    let status = head.status();
    let found = request.found()?;
    if !storable::supersedes(status, refusal) || !concerns_others(request, status, refusal) {
        return None;
    }
    let response = found.entry.response()?;
    let is_removed = match stale_for(found, &response.lifetime, head.exchange.received) {
        // A server error is the same as no response at all (RFC 9111 section 4.3.3).
        Some(over) => !status.is_server_error() || over >= response.lifetime.stale_if_error,
        // A refresh ahead of the end of freshness removes nothing.
        None => !request.is_refresh && !status.is_server_error() && !is_denial(status),
    };
    is_removed.then(|| SupersededEntry::of(request))?
}

/// Whether the stored response must stay although an error may be stored: it is fresh, and only the
/// request's directives made the cache ask the inner service, or it may replace a server error.
pub(super) fn must_keep_stored(request: &CacheRequest, head: &OriginHead) -> bool {
    let Some(found) = request.found() else {
        return false;
    };
    let Some(response) = found.entry.response() else {
        return false;
    };
    match stale_for(found, &response.lifetime, head.exchange.received) {
        Some(over) => head.status().is_server_error() && over < response.lifetime.stale_if_error,
        None => true,
    }
}

/// Whether a refusal concerns other clients, too. The request of a refresh has no credentials
/// except those that select the stored response.
fn concerns_others(request: &CacheRequest, status: StatusCode, refusal: Refusal) -> bool {
    let constraints = &request.constraints;
    let is_own_denial = is_denial(status)
        && constraints.credentials.any()
        && constraints.scope != SharingScope::User;
    request.is_refresh
        || (refusal != Refusal::Credentials && !is_own_denial && request.shares_its_response())
}

fn is_denial(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// How long a stored response has been stale; `None` while it is fresh.
fn stale_for(found: &FoundEntry, lifetime: &Lifetime, now: Timestamp) -> Option<Duration> {
    let age = lifetime.age(now.since(found.entry.stored));
    let is_fresh = found.verdict != Verdict::Stale && !lifetime.no_cache && age < lifetime.fresh;
    (!is_fresh).then(|| age.saturating_sub(lifetime.fresh))
}
