//! Answering requests whose content is part of the key: `{#body}` in a route's key, and QUERY,
//! whose cache key must include its content.

use std::sync::Arc;

use http::request;

use super::{
    bypass,
    cache_request::CacheRequestRef,
    config::Config,
    context::{CacheContext, CacheResponse},
    local_lookup::{self, LocalLookup},
    miss,
    request_source::RequestSource,
    respond,
};
use crate::{
    engine::snapshot::Snapshot,
    key::KeyBuf,
    message::{
        content_refusal,
        http_service::HttpService,
        replayable_body::ReplayableBody,
        request_content::{CONTENT_TIMEOUT, RequestContent, read_content},
    },
    semantics::{cache_status::Forward, grpc},
    table::KeyError,
};

/// The longest content that is read for a key, in bytes; a request with more bypasses the cache.
const MAX_CONTENT: usize = 1 << 20;

/// Reads the request's content, then answers it like any other request.
pub(super) async fn answer_with_content_key<S: HttpService<B>, B: ReplayableBody>(
    config: Arc<Config>,
    inner: S,
    snapshot: Arc<Snapshot>,
    parts: request::Parts,
    body: B,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    let permit = config.engine().buffers.permit();
    let content = match read_content(body, MAX_CONTENT, permit).await {
        RequestContent::Whole(content) => content,
        RequestContent::Broken => return Ok(content_refusal::broken()),
        RequestContent::Late => return Ok(content_refusal::late(CONTENT_TIMEOUT)),
        RequestContent::NoRoom => {
            config.engine().metrics.busy_request.increment(1);
            return Ok(respond::busy());
        }
        RequestContent::Unsuitable { body, detail } => {
            let (reason, detail) = (Forward::Bypass, Some(detail));
            return bypass::forward_unstored(config, inner, parts, body, reason, detail).await;
        }
    };
    let mut key = KeyBuf::new();
    let uri = config.engine().uri(&parts.uri, &parts.extensions);
    let source = RequestSource::new(&config, &snapshot, &parts, uri);
    let request = source.by_content(&content.bytes, &mut key);
    let body = B::from_bytes(content.bytes.clone());
    let is_unary = |request: &CacheRequestRef<'_>| {
        request.route.is_none_or(|route| !route.is_grpc_read())
            || grpc::is_one_message(&content.bytes)
    };
    let request = match request {
        Ok(request) if is_unary(&request) => request,
        other => {
            let detail = other.map_or_else(KeyError::detail, |_| Some("grpc-not-unary"));
            let reason = Forward::Bypass;
            return bypass::forward_unstored(config, inner, parts, body, reason, detail).await;
        }
    };
    match local_lookup::lookup_local(&config, &request, &parts) {
        LocalLookup::Prebuilt(response) => Ok(response.into_response()),
        // Requests whose content is part of the key are not refreshed in the background.
        LocalLookup::Hit(response) | LocalLookup::HitToRefresh(response, _) => Ok(response),
        LocalLookup::Miss(candidate) => {
            let request = request.into_owned(&snapshot, candidate);
            let mut context = CacheContext::new(config, inner, request, parts);
            context.content = content;
            miss::answer_miss(context, body).await
        }
    }
}
