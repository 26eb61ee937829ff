//! Answering with the inner service's response, and storing it if that is allowed.

use std::collections::VecDeque;

use super::{
    cache_request::{CacheRequest, ForwardedForm},
    context::{CacheContext, CacheResponse, FillLeader},
    first_piece,
    origin_response::{OriginHead, OriginResponse, is_worse_than_stored},
    pending_entry::PendingEntry,
    preconditions_and_range::evaluate_preconditions,
    respond, stale_on_error,
    storage_decision::decide_storage,
    store_body,
    superseded_entry::{must_keep_stored, superseded},
};
use crate::{
    engine::core::Engine,
    message::{
        http_service::HttpService, replayable_body::ReplayableBody, response_body::ResponseBody,
    },
    semantics::{cache_status::CacheStatus, storable::Refusal},
};

/// Answers with the inner service's response, and stores it if that is allowed.
///
/// `has_stale`: whether a stale response can replace one whose body breaks off. Then the head is
/// held back until the first piece of the body arrives.
pub(super) async fn store_and_answer<S: HttpService<B>, B: ReplayableBody>(
    context: CacheContext<S, B>,
    response: OriginResponse<S::ResponseBody>,
    leader: &mut Option<FillLeader>,
    has_stale: bool,
) -> CacheResponse<S, B> {
    let OriginResponse { mut head, body } = response;
    let pending = match decide(&context, &head) {
        Ok(pending) => pending,
        Err(refusal) => {
            let response = OriginResponse { head, body };
            return refuse_and_answer(context, response, refusal, leader, has_stale).await;
        }
    };
    if let Some(stored) = pending.head.response() {
        context
            .request
            .note_shareable(context.engine(), &stored.lifetime);
    }
    let streamed = match store_body::start(pending, body, leader.take(), has_stale).await {
        Ok(streamed) => streamed,
        Err(broken) => return answer_broken(&context, head, broken),
    };
    if let Some(mark) = streamed.mark {
        head.parts.extensions.insert(mark);
    }
    let request = &context.request;
    // The client asked for a range, and the cache asked the inner service for the whole.
    let must_select_range =
        request.constraints.form.range && request.forwarded_form != ForwardedForm::Unchanged;
    let entry = streamed.entry.filter(|_| must_select_range);
    let range_response = entry.and_then(|entry| {
        let reason = request.forward_reason(head.exchange.requested);
        let status = CacheStatus::forward(reason).stored(streamed.is_stored);
        let (engine, headers) = (context.engine(), &head.original.headers);
        respond::from_entry_with_status(engine, request, &entry, headers, &status)
    });
    match range_response {
        Some(range) => range.map(|body| body.with_permit_of(streamed.body)),
        None => {
            let (is_stored, detail) = (streamed.is_stored, streamed.detail);
            answer(&context, head, streamed.body, is_stored, detail)
        }
    }
}

fn decide<S, B>(context: &CacheContext<S, B>, head: &OriginHead) -> Result<PendingEntry, Refusal> {
    let request = &context.request;
    let is_worse = is_worse_than_stored(head.status());
    if is_worse && (request.is_refresh || must_keep_stored(request, head)) {
        return Err(Refusal::Status);
    }
    let mut pending = decide_storage(&context.config, &context.request, head)?;
    // `Size` stands for every refusal that the body can cause: `superseded` treats them alike.
    pending.superseded_if_refused = superseded(&context.request, head, Refusal::Size);
    Ok(pending)
}

/// Answers with a response that may not be stored, and removes the stored response that it
/// supersedes.
async fn refuse_and_answer<S: HttpService<B>, B: ReplayableBody>(
    context: CacheContext<S, B>,
    response: OriginResponse<S::ResponseBody>,
    refusal: Refusal,
    leader: &mut Option<FillLeader>,
    has_stale: bool,
) -> CacheResponse<S, B> {
    let OriginResponse { head, body } = response;
    // A response whose body fails before its first piece counts as no response. An event stream may begin late.
    let waits_for_body = (has_stale || context.request.is_refresh) && refusal != Refusal::Stream;
    let body = match waits_for_body {
        true => match first_piece::wait(body).await {
            Ok(body) => body,
            Err(error) => {
                context.engine().metrics.fill_failed.increment(1);
                let broken = ResponseBody::failed(VecDeque::new(), error);
                return answer_broken(&context, head, broken);
            }
        },
        false => ResponseBody::inner(body),
    };
    refuse(
        context.config.engine(),
        &context.request,
        &head,
        refusal,
        leader,
    )
    .await;
    answer(&context, head, body, false, Some(refusal.reason()))
}

/// Answers with the stale response in place of one whose body has broken off, if that is allowed.
fn answer_broken<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    head: OriginHead,
    body: ResponseBody<S::ResponseBody>,
) -> CacheResponse<S, B> {
    stale_on_error::on_service_error(context)
        .unwrap_or_else(|| answer(context, head, body, false, Some("broken-off")))
}

/// Records that a response is not stored. The requests that wait for it are released when the
/// leader ends.
async fn refuse(
    engine: &Engine,
    request: &CacheRequest,
    head: &OriginHead,
    refusal: Refusal,
    leader: &mut Option<FillLeader>,
) {
    // A refusal that depends on this client's credentials must not mark the key hit-for-miss for
    // others. `may_collapse` is false for such a request.
    if refusal.is_lasting() && request.may_collapse() && !request.is_refresh {
        request.note_hit_for_miss(engine);
        if let Some(leader) = leader {
            leader.note_hit_for_miss(engine, head.capture.position);
        }
    }
    engine.metrics.refused.increment(1);
    if let Some(superseded) = superseded(request, head, refusal) {
        superseded.remove(engine, &head.original.headers).await;
    }
}

/// Answers with the inner service's response, or with a 304 (Not Modified) if the client's
/// preconditions, which were not forwarded, ask for one.
fn answer<S: HttpService<B>, B: ReplayableBody>(
    context: &CacheContext<S, B>,
    head: OriginHead,
    body: ResponseBody<S::ResponseBody>,
    is_stored: bool,
    detail: Option<&'static str>,
) -> CacheResponse<S, B> {
    let (request, received) = (&context.request, head.exchange.received);
    let reason = request.forward_reason(head.exchange.requested);
    let response = respond::from_origin(head.parts, body, reason, is_stored, detail);
    if request.forwarded_form == ForwardedForm::Unchanged {
        return response;
    }
    evaluate_preconditions(request, &head.original.headers, response, received)
}
