//! Forwarding a write that no `InvalidateLayer` above handles, or whose key this layer derives, and
//! invalidating what it may have changed.

use std::sync::Arc;

use http::{Request, Response, StatusCode, request};
use tower::ServiceExt;

use super::{
    cache_request::CacheRequest, config::Config, context::CacheResponse,
    origin_response::OriginHead, pending_entry::PendingEntry, request_source::RequestSource,
    respond, storage_decision::decide_storage, store_body,
};
use crate::{
    engine::write_targets::{self, WriteTargets},
    fence::entry_names::{EntryNames, target_hashes},
    key::{Key, KeyBuf, purge::PurgeTarget},
    message::{
        http_service::{HttpService, ServiceBody},
        replayable_body::ReplayableBody,
        response_body::ResponseBody,
    },
    semantics::cache_status::Forward,
};

/// Forwards the request. A success invalidates its target, the targets of `Location` and
/// `Content-Location` (RFC 9111 section 4.4), and the groups of `Cache-Group-Invalidation`
/// (RFC 9875); a redirection other than 303 invalidates its target and these groups.
///
/// If the client leaves before the response, nothing is invalidated; `InvalidateLayer` also
/// invalidates then.
pub(super) async fn forward_write<S: HttpService<B>, B: ReplayableBody>(
    config: Arc<Config>,
    inner: S,
    parts: request::Parts,
    body: B,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    let engine = config.engine();
    let original = Arc::new(engine.client_request(&parts));
    let written = WriteTargets::new((*original).clone(), None);
    let snapshot = engine.snapshot.load_full();
    let derived_key = derived_key(&config, &parts);
    let get = get_request(&config, &parts, &written);
    // Captured before the call, so that later invalidations win.
    let capture = engine.fence.capture();
    let requested = engine.clock.now().wall;
    let response = inner.oneshot(Request::from_parts(parts, body)).await?;
    let mut targets = Vec::new();
    for snapshot in engine.snapshots_since(&snapshot) {
        targets.append(&mut written.purge_targets(&snapshot, &response));
    }
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        targets.extend(derived_key.map(|key| PurgeTarget::Key(key.as_str().into())));
    }
    targets.append(&mut written.groups(&response));
    let (parts, body) = response.into_parts();
    let head = OriginHead::new(&config, parts, original, capture, requested);
    let get = get.filter(|_| head.status() == StatusCode::OK);
    let mut pending = get.and_then(|get| decide_storage(&config, &get, &head).ok());
    let may_store = match &mut pending {
        Some(pending) => invalidate_before_storing(pending, targets).await,
        None => {
            if !targets.is_empty() {
                // If the journal fails, the invalidation is queued, and nothing that it names is
                // served here until it is appended.
                let _ = engine.invalidate(targets, false).await;
            }
            false
        }
    };
    Ok(match pending.filter(|_| may_store) {
        Some(pending) => store(pending, head, body).await,
        None => Response::from_parts(head.parts, ResponseBody::inner(body)),
    })
}

/// Invalidates what a write has changed, and moves `pending`, which holds the write's own response,
/// to the position of that invalidation.
///
/// Returns false if another write may have come between: then nothing must be stored.
async fn invalidate_before_storing(pending: &mut PendingEntry, targets: Vec<PurgeTarget>) -> bool {
    let head = &pending.head;
    let key = pending.request.key.base();
    let hashes = &target_hashes(key, &head.entity, head.user.as_deref(), &head.tags);
    let names = EntryNames { key, hashes };
    // If the journal fails, the invalidation is queued, and nothing that it names is stored until
    // it is appended.
    let fence = &pending.config.engine().fence;
    let appended = fence.write_through(&pending.capture, targets, names).await;
    match (appended, Arc::get_mut(&mut pending.head)) {
        (Ok(Some(position)), Some(head)) => {
            head.position = position;
            // The time of the capture stays: the response is as old as the call.
            pending.capture.position = position;
            true
        }
        _ => false,
    }
}

/// Stores the write's own response, and answers with it.
async fn store<R: ServiceBody>(
    pending: PendingEntry,
    head: OriginHead,
    body: R,
) -> Response<ResponseBody<R>> {
    let (is_stored, detail, body) = match store_body::start(pending, body, None, false).await {
        Ok(streamed) => (streamed.is_stored, streamed.detail, streamed.body),
        Err(broken) => (false, None, broken),
    };
    respond::from_origin(head.parts, body, Forward::Method, is_stored, detail)
}

/// The GET request that the write's own response may answer (RFC 9110 section 9.3.3).
fn get_request(
    config: &Config,
    parts: &request::Parts,
    written: &WriteTargets,
) -> Option<CacheRequest> {
    let snapshot = config.engine().snapshot.load_full();
    if !written.may_answer_get(&snapshot) || written.is_ambiguous() {
        return None;
    }
    let mut key = KeyBuf::new();
    let uri = config.engine().uri(&parts.uri, &parts.extensions);
    let request = RequestSource::new(config, &snapshot, parts, uri).by_url(None, &mut key);
    Some(request.into_owned(&snapshot, None))
}

/// The key that the layer's own function derives for the write's target.
fn derived_key(config: &Config, parts: &request::Parts) -> Option<Key> {
    let derive = config.key.as_ref()?;
    let engine = config.engine();
    let snapshot = engine.snapshot.load();
    let routes = write_targets::routes(&snapshot.plan, engine.target(parts));
    routes.first().and_then(|_| derive(parts))
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicU64, Ordering},
    };

    use bytes::Bytes;
    use http_body_util::Full;
    use tower::{Layer, service_fn};

    use super::*;
    use crate::{
        cache::CacheLayer,
        keep::handle::Keep,
        key::{KeyInputs, url_key},
        table::Table,
    };

    /// Regression: the time for which the response is trusted was counted from the journal's reply,
    /// which may come long after the call.
    #[tokio::test]
    async fn the_stored_response_to_a_write_is_as_old_as_its_call() {
        let keep = Keep::new(Table::new()).expect("a valid table");
        let engine = Arc::clone(keep.engine());
        let called = Arc::new(AtomicU64::new(0));
        let handler = {
            let (engine, called) = (Arc::clone(&engine), Arc::clone(&called));
            service_fn(move |_: Request<Full<Bytes>>| {
                called.store(engine.clock.mono(), Ordering::SeqCst);
                let response = Response::builder()
                    .header("cache-control", "max-age=60")
                    .header("content-location", "/e/1")
                    .body(Full::from("written"));
                async move { Ok::<_, Infallible>(response.expect("a response")) }
            })
        };
        let before = engine.fence.capture().position;
        let request = Request::post("/e/1").body(Full::default());
        let response = CacheLayer::new(&keep)
            .layer(handler)
            .oneshot(request.expect("a request"));
        let response = response.await.expect("it never fails");
        let status = response.headers()["cache-status"].to_str().expect("ASCII");
        assert!(status.contains("stored"), "{status}");

        let inputs = KeyInputs {
            scheme: None,
            host: None,
            path: "/e/1",
            query: None,
            headers: &Default::default(),
            user: None,
            body: None,
        };
        let mut key = KeyBuf::new();
        url_key(&inputs, &mut key);
        let found = engine
            .tiers
            .lookup_local(&key, inputs.headers, engine.clock.now());
        let entry = found.expect("it is stored").entry;
        assert_eq!(entry.position, engine.fence.capture().position);
        assert!(
            entry.position.n > before.n,
            "it moved to the write's own invalidation"
        );
        assert!((1..=called.load(Ordering::SeqCst)).contains(&entry.local.captured));
    }
}
