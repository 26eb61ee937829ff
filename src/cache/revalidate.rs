//! Using the result of a validation (RFC 9111 section 4.3), or the rest of a stored part (section
//! 3.4), to answer from the stored response.

use std::sync::Arc;

use http::StatusCode;
use http_body_util::{BodyExt, Limited};

use super::{
    conditional_request::CandidateUse,
    context::{CacheContext, CacheResponse, FillLeader},
    origin_response::{OriginHead, OriginResponse},
    respond,
    storage_decision::decide_storage,
    updated_entry,
};
use crate::{
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    semantics::{
        cache_status::{CacheStatus, Forward},
        conditional,
        update::{self, HeadEffect},
    },
    store::entry::Entry,
};

/// The outcome of a revalidation.
// Short-lived: matched where it is returned.
#[allow(clippy::large_enum_variant)]
pub(super) enum RevalidationOutcome<R, B> {
    Done(R),
    /// A response that is not a validation result; handled like that of a miss.
    NotValidated(OriginResponse<B>),
    /// The response cannot answer the client: the request is sent again without any precondition or
    /// range, the client's included.
    CallAgain,
}

/// Answers from the candidate, if the inner service's response allows that.
pub(super) async fn finish<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    candidate_use: CandidateUse,
    response: OriginResponse<S::ResponseBody>,
    leader: Option<&FillLeader>,
) -> RevalidationOutcome<CacheResponse<S, B>, S::ResponseBody> {
    let status = response.head.status();
    let response = match candidate_use {
        CandidateUse::Validate(entry) if status == StatusCode::NOT_MODIFIED => {
            confirm(context, &entry, &response.head, leader).await
        }
        CandidateUse::Complete if status == StatusCode::PARTIAL_CONTENT => {
            complete(context, response, leader).await
        }
        // The cache has added the range and the precondition, so errors about them do not concern
        // the client.
        CandidateUse::Complete if status.is_client_error() => None,
        CandidateUse::Validate(_) if status == StatusCode::PRECONDITION_FAILED => None,
        _ => return RevalidationOutcome::NotValidated(response),
    };
    response.map_or(RevalidationOutcome::CallAgain, RevalidationOutcome::Done)
}

/// Answers with a stored response that a 304 (Not Modified) has confirmed and updated.
async fn confirm<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    stored: &Arc<Entry>,
    head: &OriginHead,
    leader: Option<&FillLeader>,
) -> Option<CacheResponse<S, B>> {
    let response = stored.response()?;
    if !conditional::selects(&head.parts.headers, &response.headers) {
        return None;
    }
    let (engine, request) = (context.config.engine(), &context.request);
    engine.metrics.validated.increment(1);
    let updated = updated_entry::replace(engine, request, (stored, response), head, leader).await;
    let status = CacheStatus::forward(request.forward_reason(head.exchange.requested))
        .status(head.status())
        .stored(updated.is_stored);
    respond::from_entry_with_status(
        engine,
        request,
        &updated.entry,
        &head.original.headers,
        &status,
    )
}

/// Answers with the representation combined from the stored part and the rest.
async fn complete<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    response: OriginResponse<S::ResponseBody>,
    leader: Option<&FillLeader>,
) -> Option<CacheResponse<S, B>> {
    let OriginResponse { head, body } = response;
    let pending = decide_storage(&context.config, &context.request, &head).ok()?;
    let rest = Limited::new(body, pending.max_body).collect().await.ok()?;
    let stored = pending.store([&rest.to_bytes()], None, leader).await.ok()?;
    let entry = &stored.entry;
    entry
        .response()
        .filter(|response| response.part.is_none())?;
    let status = CacheStatus::forward(Forward::Partial)
        .status(StatusCode::PARTIAL_CONTENT)
        .stored(stored.is_kept);
    let (engine, request) = (context.config.engine(), &context.request);
    respond::from_entry_with_status(engine, request, entry, &head.original.headers, &status)
}

/// Applies the response to a HEAD to the stored response to a GET (RFC 9111 section 4.3.5): updates
/// it, or removes it if the representation has changed.
///
/// If that updates the stored response, answers from it: with the fields that the next HEAD will
/// get, including those that the inner service omits without content.
pub(super) async fn update_by_head<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    head: &OriginHead,
) -> Option<CacheResponse<S, B>> {
    let (engine, request) = (context.config.engine(), &context.request);
    let (stored, response) = request.candidate_response()?;
    let headers = &head.original.headers;
    let length = response
        .part
        .is_none()
        .then_some(response.body.len() as u64);
    match update::head_effect(
        head.status(),
        &head.parts.headers,
        &response.headers,
        length,
    ) {
        HeadEffect::None => {}
        HeadEffect::Remove => {
            if request.shares_its_response() {
                engine
                    .tiers
                    .remove_response(&request.key, headers, stored)
                    .await;
            }
        }
        HeadEffect::Update => {
            let updated =
                updated_entry::replace(engine, request, (stored, response), head, None).await;
            if updated.is_storable {
                let reason = request.forward_reason(head.exchange.requested);
                let status = CacheStatus::forward(reason).stored(updated.is_stored);
                return respond::from_entry_with_status(
                    engine,
                    request,
                    &updated.entry,
                    headers,
                    &status,
                );
            }
        }
    }
    None
}
