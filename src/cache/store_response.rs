//! Answering with the inner service's response, and storing it if that is allowed.

use http::StatusCode;

use super::{
    cache_request::ForwardedForm,
    context::{CacheContext, CacheResponse, FillLeader},
    origin_response::{OriginHead, OriginResponse, is_worse_than_stored},
    pending_entry::PendingEntry,
    preconditions_and_range::evaluate_preconditions,
    respond, stale_on_error,
    storage_decision::decide_storage,
    store_body,
    superseded_entry::remove_superseded,
};
use crate::{
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
    mut context: CacheContext<S, B>,
    response: OriginResponse<S::ResponseBody>,
    leader: &mut Option<FillLeader>,
    has_stale: bool,
) -> CacheResponse<S, B> {
    let OriginResponse { head, body } = response;
    let pending = match decide(&context, &head) {
        Ok(pending) => pending,
        Err(refusal) => {
            refuse(&mut context, &head, refusal, leader).await;
            let (body, detail) = (ResponseBody::inner(body), Some(refusal.reason()));
            return answer(&context, head, body, false, detail);
        }
    };
    let streamed = match store_body::start(pending, body, leader.take(), has_stale).await {
        Ok(streamed) => streamed,
        Err(broken) => {
            let stale = stale_on_error::on_service_error(&context);
            let detail = Some("broken-off");
            return stale.unwrap_or_else(|| answer(&context, head, broken, false, detail));
        }
    };
    let request = &context.request;
    // The client asked for a range, and the cache asked the inner service for the whole.
    let must_select_range =
        request.constraints.form.range && request.forwarded_form != ForwardedForm::Unchanged;
    let entry = streamed.entry.filter(|_| must_select_range);
    let range_response = entry.and_then(|entry| {
        let status = CacheStatus::forward(request.forward_reason()).stored(streamed.is_stored);
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
    if context.is_refresh && is_worse_than_stored(head.status()) {
        return Err(Refusal::Status);
    }
    decide_storage(&context.config, &context.request, head)
}

/// Records that a response is not stored. The requests that wait for it are released when the
/// leader ends.
async fn refuse<S, B>(
    context: &mut CacheContext<S, B>,
    head: &OriginHead,
    refusal: Refusal,
    leader: &mut Option<FillLeader>,
) {
    let (engine, request) = (context.config.engine(), &context.request);
    // A refusal that depends on this client's credentials must not mark the key uncacheable for
    // others. `may_collapse` is false for such a request.
    if refusal.is_lasting() && request.may_collapse() && !context.is_refresh {
        request.note_uncacheable(engine);
        if let Some(leader) = leader {
            leader.note_uncacheable(engine, head.capture.position);
        }
    }
    engine.metrics.refused.increment(1);
    // A full response to a validation replaces the stored one (RFC 9111 section 4.3.3).
    if let Some((stored, _)) = request.candidate_response()
        && request.forwarded_form == ForwardedForm::Validating
        && supersedes(head.status())
    {
        let headers = &head.original.headers;
        remove_superseded(engine, request, stored, headers, refusal).await;
    }
}

/// Whether a response with this status means that the origin no longer has the stored
/// representation.
fn supersedes(status: StatusCode) -> bool {
    status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
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
    let reason = request.forward_reason();
    let response = respond::from_origin(head.parts, body, reason, is_stored, detail);
    if request.forwarded_form == ForwardedForm::Unchanged {
        return response;
    }
    evaluate_preconditions(request, &head.original.headers, response, received)
}
