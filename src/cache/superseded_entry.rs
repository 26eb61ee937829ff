//! Removing a stored response that the inner service has superseded.

use std::sync::Arc;

use http::HeaderMap;

use super::cache_request::CacheRequest;
use crate::{engine::core::Engine, semantics::storable::Refusal, store::entry::Entry};

/// Removes an entry that a newer response supersedes but does not replace, because storing that
/// response was refused (`refusal`).
pub(super) async fn remove_superseded(
    engine: &Engine,
    request: &CacheRequest,
    entry: &Arc<Entry>,
    headers: &HeaderMap,
    refusal: Refusal,
) {
    // A refusal that depends on this client's credentials does not concern other clients.
    if refusal != Refusal::Credentials && request.shares_its_response() {
        engine
            .tiers
            .remove_response(&request.key, headers, entry)
            .await;
    }
}
