//! Updating a stored response with the fields of a newer one (RFC 9111 sections 3.2 and 4.3.4).

use std::sync::Arc;

use http::{Method, StatusCode};

use super::{cache_request::CacheRequest, origin_response::OriginHead, query_rule};
use crate::{
    engine::core::Engine,
    fence::capture::Capture,
    message::client_request::ClientRequest,
    semantics::{
        request_head::RequestHead,
        storable::Refusal,
        stored::StoredResponse,
        update::{self, UpdatedHead},
    },
    store::entry::{Content, Entry},
};

/// Updates a stored response with the fields of a newer one. With a refusal, the result answers
/// this request only.
pub(super) fn update(
    request: &CacheRequest,
    stored: &Entry,
    response: &StoredResponse,
    head: &OriginHead,
    original: &ClientRequest,
) -> (Arc<Entry>, Option<Refusal>) {
    // The stored response is one to a GET.
    let get = RequestHead {
        method: &Method::GET,
        ..original.head(request.conditions.credentials)
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

/// Stores an updated entry in place of the one it was made from.
pub(super) async fn replace(
    engine: &Engine,
    request: &CacheRequest,
    capture: &Capture,
    entry: &Arc<Entry>,
    original: &ClientRequest,
) {
    let Content::Response(response) = &entry.content else {
        return;
    };
    let Some(vary) = request.vary_fields(response) else {
        return;
    };
    if request.may_store(engine, capture, entry) {
        let headers = &response.headers;
        let variant = (!vary.is_empty()).then(|| vary.variant(&original.headers, headers));
        let mut request = request.clone();
        query_rule::settle_key(engine, &mut request, original, headers);
        engine
            .tiers
            .store_response(&request.key, variant.as_ref(), entry)
            .await;
    }
}
