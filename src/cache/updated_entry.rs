//! Updating a stored response with the fields of a newer one (RFC 9111 sections 3.2 and 4.3.4).

use std::sync::Arc;

use http::{
    HeaderMap, Method, StatusCode,
    header::{SET_COOKIE, VARY},
};

use super::{
    cache_request::CacheRequest, context::FillLeader, origin_response::OriginHead,
    pending_entry::share_entry, storage_decision::settle_key,
};
use crate::{
    engine::core::Engine,
    semantics::{
        request_head::RequestHead,
        sharing::Credentials,
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
    let credentials = request.constraints.credentials;
    let newer = &head.parts.headers;
    let (entry, refusal) = update(request, (stored, response), head, newer, credentials);
    let is_stored = match refusal {
        None => store(engine, request, head, &entry, leader).await,
        Some(Refusal::Credentials) if confirms_for_all(request, response, head) => {
            match freshened(request, (stored, response), head) {
                Some(entry) => store(engine, request, head, &entry, leader).await,
                None => false,
            }
        }
        Some(refusal) => {
            // A refusal that depends on this client's credentials does not concern other clients.
            // The request of a refresh has none except those that select the stored response.
            let concerns_others = refusal != Refusal::Credentials && request.shares_its_response();
            if request.is_refresh || concerns_others {
                let headers = &head.original.headers;
                let tiers = &engine.tiers;
                tiers.remove_response(&request.key, headers, stored).await;
            }
            false
        }
    };
    UpdatedEntry {
        entry,
        is_storable: refusal.is_none(),
        is_stored,
    }
}

/// The stored response with the fields of `newer`, as a response to a request with these
/// credentials, and why it may not be stored.
fn update(
    request: &CacheRequest,
    (stored, response): (&Entry, &StoredResponse),
    head: &OriginHead,
    newer: &HeaderMap,
    credentials: Credentials,
) -> (Arc<Entry>, Option<Refusal>) {
    // The stored response is the response to a GET.
    let get = RequestHead {
        method: &Method::GET,
        ..head.original.head(credentials)
    };
    let UpdatedHead { headers, lifetime } = update::update(
        &get,
        response.status,
        &response.headers,
        newer,
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

/// The stored response with the lifetime of a 304 that confirms it for all clients; `None` if the
/// response no longer states how long it is fresh.
fn freshened(
    request: &CacheRequest,
    stored: (&Entry, &StoredResponse),
    head: &OriginHead,
) -> Option<Arc<Entry>> {
    let newer = update::freshness_fields(&head.parts.headers);
    let (entry, refusal) = update(request, stored, head, &newer, Credentials::None);
    let is_explicit = entry.response()?.lifetime.explicit;
    (refusal.is_none() && is_explicit).then_some(entry)
}

/// Whether a 304 to a request with cookies confirms the stored response for all clients, too. On a
/// path that no route names, a response that states its freshness does not depend on cookies unless
/// its `Vary` says so, and the validators are those of the stored response.
fn confirms_for_all(request: &CacheRequest, response: &StoredResponse, head: &OriginHead) -> bool {
    let newer = &head.parts.headers;
    let has_same_vary = !newer.contains_key(VARY)
        || newer
            .get_all(VARY)
            .iter()
            .eq(response.headers.get_all(VARY).iter());
    head.status() == StatusCode::NOT_MODIFIED
        && !newer.contains_key(SET_COOKIE)
        && request.route.is_none()
        && request.constraints.credentials == Credentials::Cookie
        && has_same_vary
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
        request.note_shareable(engine, &response.lifetime);
        settle_key(engine, &mut request, original, headers);
        is_stored = engine
            .tiers
            .store_response(&request.key, variant.as_ref(), entry)
            .await;
    }
    share_entry(engine, leader, entry, variant.as_ref());
    is_stored
}
