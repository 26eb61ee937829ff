//! Storing the inner service's response, if that is allowed, while it is sent to the client.

use http::StatusCode;

use super::{
    cache_request::ForwardedForm,
    context::{CacheContext, CacheResponse, FillLeader},
    form::evaluate_preconditions,
    origin_response::{OriginHead, OriginResponse, is_worse_than_stored},
    pending_entry::PendingEntry,
    respond, stale, stream,
};
use crate::{
    message::{
        http_service::HttpService, replayable_body::ReplayableBody, response_body::ResponseBody,
    },
    semantics::{cache_status::CacheStatus, storable::Refusal},
};

/// Answers with the inner service's response, and stores it if that is allowed.
pub(super) async fn run<S: HttpService<B>, B: ReplayableBody>(
    mut context: CacheContext<S, B>,
    response: OriginResponse<S::ResponseBody>,
    leader: &mut Option<FillLeader>,
) -> CacheResponse<S, B> {
    let OriginResponse { head, body } = response;
    let pending = match pending_entry(&context, &head) {
        Ok(pending) => pending,
        Err(refusal) => {
            refuse(&mut context, &head, refusal, leader).await;
            let (body, detail) = (ResponseBody::inner(body), Some(refusal.reason()));
            return answer(&context, head, body, false, detail);
        }
    };
    let waits_for_body = stale::usable_on_disconnect(&context).is_some();
    let streamed = match stream::start(pending, body, leader.take(), waits_for_body).await {
        Ok(streamed) => streamed,
        Err(broken) => {
            let stale = stale::on_disconnect(&context);
            let detail = Some("broken-off");
            return stale.unwrap_or_else(|| answer(&context, head, broken, false, detail));
        }
    };
    let request = &context.request;
    // The client asked for a range, the inner service for the whole.
    let is_range_left =
        request.conditions.form.range && request.forwarded_form != ForwardedForm::Unchanged;
    let range = streamed.entry.filter(|_| is_range_left).and_then(|entry| {
        let status = CacheStatus::forward(request.forward_reason()).stored(true);
        let (engine, headers) = (context.engine(), &head.original.headers);
        respond::validated(engine, request, &entry, headers, &status)
    });
    range.unwrap_or_else(|| answer(&context, head, streamed.body, streamed.is_stored, None))
}

fn pending_entry<S, B>(
    context: &CacheContext<S, B>,
    head: &OriginHead,
) -> Result<PendingEntry, Refusal> {
    if context.is_refresh && is_worse_than_stored(head.status()) {
        return Err(Refusal::Status);
    }
    PendingEntry::new(&context.config, &context.request, head)
}

/// Notes that a response is not stored. Its followers are released with the leader.
async fn refuse<S, B>(
    context: &mut CacheContext<S, B>,
    head: &OriginHead,
    refusal: Refusal,
    leader: &mut Option<FillLeader>,
) {
    let (engine, request) = (context.config.engine(), &context.request);
    // A refusal that depends on this client's credentials must not mark the key uncacheable for
    // others: such a request does not collapse.
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
        request
            .remove_superseded(engine, stored, headers, refusal)
            .await;
    }
}

/// Whether a response of this status says that the origin no longer has the stored representation.
fn supersedes(status: StatusCode) -> bool {
    status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

/// The inner service's response, or a 304 (Not Modified) where the client's preconditions, which
/// were not forwarded, ask for one.
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
