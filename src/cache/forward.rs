//! Forwarding a request to the inner service.

use std::sync::Arc;

use http::Request;
use tower::ServiceExt;

use super::{
    cache_request::ForwardedForm,
    conditional_request,
    config::Config,
    context::{CacheContext, CacheResponse, FillLeader},
    origin_response::{OriginHead, OriginResponse},
    revalidate::{self, RevalidationOutcome},
    stale_on_error, store_response,
};
use crate::{
    engine::task_keys,
    fence::{capture::Capture, verdict::Verdict},
    message::{
        client_request::ClientRequest, http_service::HttpService, layer_markers::LayerMarkers,
        replayable_body::ReplayableBody,
    },
    semantics::conditional,
};

/// Answers with the inner service's response, and stores it if that is allowed. Releases the
/// requests that wait for it.
pub(super) async fn forward<S: HttpService<B>, B: ReplayableBody>(
    context: CacheContext<S, B>,
    body: B,
    mut leader: Option<FillLeader>,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    let response = forward_and_store(context, body, &mut leader).await;
    if let Some(leader) = leader {
        leader.end();
    }
    response
}

async fn forward_and_store<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    body: B,
    leader: &mut Option<FillLeader>,
) -> Result<CacheResponse<S, B>, S::ServiceError> {
    if context.request.candidate.is_none() {
        context.engine().metrics.miss.increment(1);
    }
    let original = Arc::new(context.engine().client_request(&context.parts));
    // Before the call, so that later invalidations win. Also before the candidate is checked: if the
    // response updates the candidate, the result is stored with this position.
    let capture = context.engine().fence.capture();
    drop_invalidated_candidate(&mut context);
    let id = context.engine().id();
    LayerMarkers::mark(&mut context.parts.extensions, |markers| markers.cache = id);
    let mut parts = context.parts.clone();
    let is_conditional = context.request.constraints.form.conditional;
    let is_hit_for_miss = is_conditional && context.is_known_hit_for_miss();
    let candidate_use =
        conditional_request::prepare(&mut context.request, &mut parts.headers, is_hit_for_miss);
    let inner = context.inner.clone();
    let request = Request::from_parts(parts, body);
    let key = context.request.key.as_str();
    let called = call(&context.config, key, inner, request, &original, capture);
    let response = match called.await {
        Ok(response) => response,
        Err(error) => return stale_on_error::on_service_error(&context).ok_or(error),
    };
    let outcome = revalidate::finish(&mut context, candidate_use, response, leader.as_ref()).await;
    let response = match outcome {
        RevalidationOutcome::Done(response) => return Ok(response),
        RevalidationOutcome::NotValidated(response) => response,
        RevalidationOutcome::CallAgain => call_again(&mut context, &original).await?,
    };
    if context.request.constraints.form.head
        && let Some(response) = revalidate::update_by_head(&mut context, &response.head).await
    {
        return Ok(response);
    }
    if let Some(stale) = stale_on_error::on_error_status(&context, &response.head) {
        return Ok(stale);
    }
    let has_stale = stale_on_error::usable_on_service_error(&context).is_some();
    Ok(store_response::store_and_answer(context, response, leader, has_stale).await)
}

/// Calls the inner service again, without any precondition or range, the client's included.
async fn call_again<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    original: &Arc<ClientRequest>,
) -> Result<OriginResponse<S::ResponseBody>, S::ServiceError> {
    let mut parts = context.parts.clone();
    conditional::make_unconditional(&mut parts.headers);
    context.request.refuted = context.request.candidate.take();
    context.request.forwarded_form = ForwardedForm::Unconditional;
    let request = Request::from_parts(parts, B::from_bytes(context.content.bytes.clone()));
    let capture = context.engine().fence.capture();
    let inner = context.inner.clone();
    let key = context.request.key.as_str();
    call(&context.config, key, inner, request, original, capture).await
}

async fn call<S: HttpService<B>, B: ReplayableBody>(
    config: &Config,
    key: &str,
    inner: S,
    request: Request<B>,
    original: &Arc<ClientRequest>,
    capture: Capture,
) -> Result<OriginResponse<S::ResponseBody>, S::ServiceError> {
    let engine = config.engine();
    let requested = engine.clock.now().wall;
    let response = task_keys::making(&engine.fills, key, inner.oneshot(request));
    let (parts, body) = response.await?.into_parts();
    let head = OriginHead::new(config, parts, Arc::clone(original), capture, requested);
    let elapsed = head.exchange.received.since(requested);
    engine.metrics.fill_seconds.record(elapsed.as_secs_f64());
    Ok(OriginResponse { head, body })
}

/// Drops a candidate that was invalidated while the request waited. Two versions made within one
/// second have the same `Last-Modified`, so the inner service might confirm the old one.
fn drop_invalidated_candidate<S, B>(context: &mut CacheContext<S, B>) {
    let (engine, request) = (context.config.engine(), &mut context.request);
    let now = engine.clock.now();
    let key = request.key.base();
    let is_invalidated = request
        .candidate
        .as_ref()
        .is_some_and(|found| engine.fence.check(&found.entry, key, now) == Verdict::Unusable);
    if is_invalidated {
        request.candidate = None;
    }
}
