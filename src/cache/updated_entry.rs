//! Updating a stored response with the fields of a newer one (RFC 9111 sections 3.2 and 4.3.4).

use std::sync::Arc;

use http::{Method, StatusCode};

use super::{
    cache_request::CacheRequest, context::FillLeader, origin_response::OriginHead,
    pending_entry::share_entry, storage_decision::settle_key, superseded_entry::remove_superseded,
};
use crate::{
    engine::core::Engine,
    semantics::{
        request_head::RequestHead,
        storable::Refusal,
        stored_response::StoredResponse,
        update::{self, UpdatedHead},
    },
    store::entry::{Content, Entry},
};

/// A stored response, updated with the fields of a newer one.
pub(super) struct UpdatedEntry {
    pub(super) entry: Arc<Entry>,
    /// Whether the updated response may be stored; if not, it answers this request only.
    pub(super) is_storable: bool,
    pub(super) is_stored: bool,
}

/// Updates a stored response with the fields of a newer one, and stores the result in its place if
/// that is allowed.
pub(super) async fn replace(
    engine: &Engine,
    request: &CacheRequest,
    (stored, response): (&Arc<Entry>, &StoredResponse),
    head: &OriginHead,
    leader: Option<&FillLeader>,
) -> UpdatedEntry {
    let (entry, refusal) = update(request, stored, response, head);
    let is_stored = match refusal {
        None => store(engine, request, head, &entry, leader).await,
        Some(refusal) => {
            let headers = &head.original.headers;
            remove_superseded(engine, request, stored, headers, refusal).await;
            false
        }
    };
    UpdatedEntry {
        entry,
        is_storable: refusal.is_none(),
        is_stored,
    }
}

fn update(
    request: &CacheRequest,
    stored: &Entry,
    response: &StoredResponse,
    head: &OriginHead,
) -> (Arc<Entry>, Option<Refusal>) {
    // The stored response is the response to a GET.
    let get = RequestHead {
        method: &Method::GET,
        ..head.original.head(request.constraints.credentials)
    };
    let UpdatedHead { headers, lifetime } = update::update(
        &get,
        response.status,
        &response.headers,
        &head.parts.headers,
        &head.exchange,
        &request.policy(),
    );
    let refusal = lifetime.err();
    let lifetime = request.snapshot.with_jitter(lifetime.unwrap_or_default());
    let received = head.exchange.received;
    let mut entry = stored.with_content(Content::Response(StoredResponse {
        headers,
        lifetime,
        ..response.clone()
    }));
    entry.position = head.capture.position;
    entry.local.captured = head.capture.at;
    entry.stored = received;
    entry.expires = request.snapshot.expiry(&lifetime, received, true);
    if head.status() != StatusCode::NOT_MODIFIED && !update::has_validator(&head.parts.headers) {
        // Responses to HEAD without a validator must not extend the entry's life for ever.
        entry.expires = entry.expires.min(stored.expires);
    }
    (Arc::new(entry), refusal)
}

/// Stores an updated entry, and shares it with the leader's followers. Returns whether a tier keeps
/// it.
async fn store(
    engine: &Engine,
    request: &CacheRequest,
    head: &OriginHead,
    entry: &Arc<Entry>,
    leader: Option<&FillLeader>,
) -> bool {
    let Some(response) = entry.response() else {
        return false;
    };
    let (original, headers) = (&head.original, &response.headers);
    let variant = request.variant(entry, &original.headers);
    let can_be_selected = request.vary_fields(response).is_some();
    let mut is_stored = false;
    if can_be_selected && engine.may_store(&head.capture, entry, request.key.base()) {
        let mut request = request.clone();
        settle_key(engine, &mut request, original, headers);
        is_stored = engine
            .tiers
            .store_response(&request.key, variant.as_ref(), entry)
            .await;
    }
    share_entry(engine, leader, entry, variant.as_ref());
    is_stored
}
