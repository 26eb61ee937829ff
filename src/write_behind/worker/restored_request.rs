//! The request of a queued write, as the service gets it.

use http::{HeaderValue, Request, header::HOST};

use crate::{
    identity::UserId,
    message::{layer_markers::LayerMarkers, replayable_body::ReplayableBody},
    semantics::idempotency_key::IDEMPOTENCY_KEY,
    store::contracts::queue::ClaimedWrite,
    write_queue::{Applying, request::QueuedRequest},
};

/// Makes the request again that was accepted. `engine` is the id of the engine whose worker
/// invalidates what the write changes, so that no `CacheLayer` inside does so.
pub(super) fn restore<B: ReplayableBody>(
    write: &QueuedRequest,
    claimed: &ClaimedWrite,
    engine: usize,
) -> Request<B> {
    let mut request = Request::new(B::from_bytes(write.body.clone()));
    *request.method_mut() = write.method.clone();
    *request.uri_mut() = write.uri.clone();
    *request.headers_mut() = write.headers.clone();
    let headers = request.headers_mut();
    let host = write.host.as_deref();
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
        headers.entry(HOST).or_insert(host);
    }
    // A string of RFC 9651, as draft-ietf-httpapi-idempotency-key-header has it.
    let id = format!("\"{}\"", claimed.token.id);
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.entry(IDEMPOTENCY_KEY).or_insert(id);
    }
    let extensions = request.extensions_mut();
    extensions.insert(Applying {
        id: claimed.token.id,
        seq: claimed.seq,
        attempt: claimed.attempt,
        accepted: claimed.accepted.system(),
    });
    if let Some(user) = write.user.as_deref().filter(|user| !is_hash(user)) {
        extensions.insert(UserId::new(user));
    }
    LayerMarkers::mark(extensions, |markers| markers.invalidate = engine);
    request
}

/// Whether the user is a hash of credentials that nothing has verified: `#` and 32 digits.
fn is_hash(user: &str) -> bool {
    user.len() == 33
        && user
            .strip_prefix('#')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method, Uri};

    use super::*;
    use crate::{clock::Timestamp, store::contracts::queue::ClaimToken, write_queue::WriteId};

    fn write() -> QueuedRequest {
        QueuedRequest {
            key: "agent:7".into(),
            route: "/agents/{id}".into(),
            method: Method::PUT,
            uri: Uri::from_static("/agents/7?force=1"),
            host: Some("api.example.com".into()),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"content"),
            user: Some("alice".into()),
            is_vouched: false,
            targets: Vec::new(),
        }
    }

    fn claimed(id: WriteId) -> ClaimedWrite {
        ClaimedWrite {
            token: ClaimToken {
                key: "agent:7".into(),
                id,
                token: 1,
            },
            seq: 5,
            attempt: 2,
            accepted: Timestamp(1000),
            is_spent: false,
            request: Bytes::new(),
        }
    }

    #[test]
    fn the_service_gets_the_request_as_it_was_accepted() {
        let id = WriteId::random(0).expect("random numbers");
        let request = restore::<String>(&write(), &claimed(id), 1);
        assert_eq!(request.method(), Method::PUT);
        assert_eq!(request.uri(), "/agents/7?force=1");
        assert_eq!(request.body(), "content");
        assert_eq!(request.headers()[HOST], "api.example.com");
        assert_eq!(request.headers()[IDEMPOTENCY_KEY], format!("\"{id}\""));
        let applying = request
            .extensions()
            .get::<Applying>()
            .expect("an extension");
        assert_eq!((applying.id, applying.seq, applying.attempt), (id, 5, 2));
        let user = request.extensions().get::<UserId>().expect("a user");
        assert_eq!(user.as_str(), "alice");
    }

    #[test]
    fn the_clients_own_idempotency_key_is_kept() {
        let mut write = write();
        let own = HeaderValue::from_static("\"own\"");
        write.headers.insert(IDEMPOTENCY_KEY, own.clone());
        let id = WriteId::random(0).expect("random numbers");
        let request = restore::<String>(&write, &claimed(id), 1);
        let keys: Vec<_> = request.headers().get_all(IDEMPOTENCY_KEY).iter().collect();
        assert_eq!(keys, [&own]);
    }

    #[test]
    fn a_user_that_nothing_has_verified_does_not_become_a_verified_one() {
        let mut write = write();
        write.user = Some(format!("#{}", "0a".repeat(16)).into());
        let id = WriteId::random(0).expect("random numbers");
        let request = restore::<String>(&write, &claimed(id), 1);
        assert!(request.extensions().get::<UserId>().is_none());
    }
}
