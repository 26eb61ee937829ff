//! Updating a stored response with the fields of a newer one (RFC 9111 sections 3.2 and 4.3.4).

use std::sync::Arc;

use http::{Method, StatusCode};

use super::{
    cache_request::CacheRequest, context::FillLeader, origin_response::OriginHead,
    pending_entry::share_entry, query_rule,
};
use crate::{
    engine::core::Engine,
    semantics::{
        request_head::RequestHead,
        storable::Refusal,
        stored::StoredResponse,
        update::{self, UpdatedHead},
    },
    store::entry::{Content, Entry},
};

/// Updates a stored response with the fields of a newer one, and stores the result in its place.
///
/// Returns false with the result if it must not be stored: then it answers this request only.
pub(super) async fn replace(
    engine: &Engine,
    request: &CacheRequest,
    (stored, response): (&Arc<Entry>, &StoredResponse),
    head: &OriginHead,
    leader: Option<&FillLeader>,
) -> (Arc<Entry>, bool) {
    let (entry, refusal) = update(request, stored, response, head);
    match refusal {
        None => store(engine, request, head, &entry, leader).await,
        Some(refusal) => {
            let headers = &head.original.headers;
            request
                .remove_superseded(engine, stored, headers, refusal)
                .await;
        }
    }
    (entry, refusal.is_none())
}

fn update(
    request: &CacheRequest,
    stored: &Entry,
    response: &StoredResponse,
    head: &OriginHead,
) -> (Arc<Entry>, Option<Refusal>) {
    // The stored response is one to a GET.
    let get = RequestHead {
        method: &Method::GET,
        ..head.original.head(request.conditions.credentials)
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
    let lifetime = request.snapshot.jittered(lifetime.unwrap_or_default());
    let received = head.exchange.received;
    let mut entry = stored.with(Content::Response(StoredResponse {
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

/// Stores an updated entry, and shares it with the leader's followers.
async fn store(
    engine: &Engine,
    request: &CacheRequest,
    head: &OriginHead,
    entry: &Arc<Entry>,
    leader: Option<&FillLeader>,
) {
    let Some(response) = entry.response() else {
        return;
    };
    let (original, headers) = (&head.original, &response.headers);
    let variant = request.variant(entry, &original.headers);
    let can_be_selected = request.vary_fields(response).is_some();
    if can_be_selected && engine.may_store(&head.capture, entry, request.key.base()) {
        let mut request = request.clone();
        query_rule::settle_key(engine, &mut request, original, headers);
        engine
            .tiers
            .store_response(&request.key, variant.as_ref(), entry)
            .await;
    }
    share_entry(leader, entry, variant.as_ref());
}
