//! Forwarding a request that bypasses the cache.

use std::sync::Arc;

use http::{Request, request};
use tower::ServiceExt;

use super::{config::Config, context::CacheResponse, respond};
use crate::{
    message::{
        http_service::HttpService, replayable_body::ReplayableBody, response_body::ResponseBody,
    },
    semantics::cache_status::Forward,
};

/// Calls the inner service, and says in `Cache-Status` why the cache was bypassed.
pub(super) async fn forward_unstored<S: HttpService<B>, B: ReplayableBody>(
    config: Arc<Config>,
    inner: S,
    parts: request::Parts,
    body: B,
    reason: Forward,
    detail: Option<&'static str>,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    config.engine().metrics.bypass.increment(1);
    let request = Request::from_parts(parts, body);
    let (mut head, body) = inner.oneshot(request).await?.into_parts();
    config.tag_fields.strip(&mut head.headers);
    let body = ResponseBody::inner(body);
    Ok(respond::from_origin(head, body, reason, false, detail))
}
