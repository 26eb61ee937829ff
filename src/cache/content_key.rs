//! Requests whose content is part of the key: `{#body}` in a route's key, and QUERY, whose content
//! is part of every cache key.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::request;
use http_body::Frame;
use http_body_util::BodyExt;

use super::{
    bypass,
    config::Config,
    context::{CacheContext, CacheResponse},
    flow,
    lookup::{self, LocalLookup},
    request_key::KeySource,
    respond,
};
use crate::{
    engine::snapshot::Snapshot,
    key::KeyBuf,
    message::{
        request_body::{ReplayableBody, Resumed},
        service::HttpService,
    },
    semantics::cache_status::Forward,
};

/// The longest content that is read for a key, in bytes; a request with more bypasses the cache.
const MAX_CONTENT: usize = 1 << 20;

/// Reads the request's content, then answers it like any other request.
pub(super) async fn run<S: HttpService<B>, B: ReplayableBody>(
    config: Arc<Config>,
    inner: S,
    snapshot: Arc<Snapshot>,
    parts: request::Parts,
    body: B,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    let content = match read(body).await {
        RequestContent::Whole(content) => content,
        RequestContent::Broken => return Ok(respond::bad_request()),
        RequestContent::TooLarge(body) => {
            let detail = Some("content-too-large");
            return bypass::run(config, inner, parts, body, Forward::Bypass, detail).await;
        }
    };
    let mut key = KeyBuf::new();
    let source = KeySource::new(&config, &snapshot, &parts);
    let request = source.content_key(&content, &mut key);
    let body = B::from_bytes(content.clone());
    let Some(request) = request else {
        return bypass::run(config, inner, parts, body, Forward::Bypass, None).await;
    };
    match lookup::look_up_local(config.engine(), &request, &parts.headers) {
        // Only GETs without content are refreshed in the background.
        LocalLookup::Hit(response) | LocalLookup::HitToRefresh(response, _) => Ok(response),
        LocalLookup::Miss(candidate) => {
            let request = request.into_owned(&snapshot, candidate);
            let context = CacheContext::new(config, inner, request).with_content(content);
            flow::run(context, parts, body).await
        }
    }
}

/// The content of a request.
enum RequestContent<B> {
    Whole(Bytes),
    /// With what was read of it put back in front.
    TooLarge(B),
    /// It ended in an error.
    Broken,
}

async fn read<B: ReplayableBody>(body: B) -> RequestContent<B> {
    let mut body = Box::pin(body);
    // One buffer, so that content in tiny chunks takes no more memory than its bytes.
    let mut content = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return RequestContent::Broken;
        };
        match frame.into_data() {
            Ok(data) if content.len() + data.len() <= MAX_CONTENT => {
                content.extend_from_slice(&data);
            }
            Ok(data) => return RequestContent::too_large(content, Frame::data(data), body),
            Err(trailers) => return RequestContent::too_large(content, trailers, body),
        }
    }
    RequestContent::Whole(content.freeze())
}

impl<B: ReplayableBody> RequestContent<B> {
    fn too_large(content: BytesMut, next: Frame<Bytes>, rest: Pin<Box<B>>) -> Self {
        let content = (!content.is_empty()).then(|| Frame::data(content.freeze()));
        let read: VecDeque<_> = content.into_iter().chain([next]).collect();
        Self::TooLarge(B::resume(Resumed::new(read, rest)))
    }
}
