//! Asking the inner service whether a stored response is still good (RFC 9111 section 4.3), or for
//! the rest of a stored part (section 3.4).

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use super::{
    cache_request::{CacheRequest, ForwardedForm},
    context::{CacheContext, CacheResponse, FillLeader},
    origin_response::{OriginHead, OriginResponse},
    pending_entry::PendingEntry,
    respond, updated_entry,
};
use crate::{
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    semantics::{
        cache_status::{CacheStatus, Forward},
        conditional,
        partial::{self, Completion},
        range::{self, Selection},
        stored::StoredResponse,
        update::{self, HeadEffect},
    },
    store::entry::Entry,
};

/// What the request to the inner service asks in addition to the client's question.
pub(super) enum Revalidation {
    Nothing,
    /// Whether this entry is still good.
    Validate(Arc<Entry>),
    /// The rest of the part that the candidate holds.
    Complete,
}

/// Makes the request's fields ask for a response that can be stored, or whether the candidate is
/// still good.
pub(super) fn prepare(request: &mut CacheRequest, headers: &mut HeaderMap) -> Revalidation {
    if request.conditions.form.head {
        return Revalidation::Nothing;
    }
    if let Some(revalidation) = revalidate_candidate(request, headers) {
        return revalidation;
    }
    if request.route.is_some() {
        // The whole response answers all requests of a route, this one included.
        conditional::make_unconditional(headers);
        request.forwarded_form = ForwardedForm::Unconditional;
    }
    Revalidation::Nothing
}

fn revalidate_candidate(
    request: &mut CacheRequest,
    headers: &mut HeaderMap,
) -> Option<Revalidation> {
    let form = request.conditions.form;
    let (entry, response) = request.candidate_response()?;
    // The inner service may compare validators without regard to the user, and confirm a response
    // that must not answer this request.
    let is_listed = request.route.is_some();
    if !request.conditions.permit(is_listed, &response.lifetime) {
        return None;
    }
    let (status, stored) = (response.status, &response.headers);
    let entry = Arc::clone(entry);
    match response.part {
        None => {
            if conditional::validate(headers, status, stored) {
                request.forwarded_form = ForwardedForm::Validating;
                return Some(Revalidation::Validate(entry));
            }
        }
        Some(_) if form.conditional => {}
        // The range stays: if the part is no longer good, the client gets the new range.
        Some(_) if form.range => {
            if is_covered(headers, response) && conditional::add_validators(headers, status, stored)
            {
                return Some(Revalidation::Validate(entry));
            }
        }
        Some(part) => {
            // A whole that is too large to be stored is not put together.
            let is_too_large = |length| length > request.max_body() as u64;
            if !part.complete.is_some_and(is_too_large)
                && let Some(rest) = partial::completion(stored, part, response.body.len() as u64)
            {
                request_rest(rest, headers);
                return Some(Revalidation::Complete);
            }
        }
    }
    None
}

fn request_rest(rest: Completion, headers: &mut HeaderMap) {
    headers.insert(header::RANGE, rest.range);
    if let Some(validator) = rest.if_range {
        headers.insert(header::IF_RANGE, validator);
    }
}

/// Whether a stored part holds the bytes that the request asks for.
fn is_covered(headers: &HeaderMap, stored: &StoredResponse) -> bool {
    matches!(range::select(headers, stored), Selection::Spans(_))
}

/// What became of a revalidation.
// It is taken apart at once.
#[allow(clippy::large_enum_variant)]
pub(super) enum Revalidated<R, B> {
    Done(R),
    /// The inner service sent another response than asked for.
    Other(OriginResponse<B>),
    /// The inner service's response is not an answer to the client's question.
    Useless,
}

/// Answers from the candidate, if the inner service's response allows that.
pub(super) async fn finish<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    revalidation: Revalidation,
    response: OriginResponse<S::ResponseBody>,
    leader: Option<&FillLeader>,
) -> Revalidated<CacheResponse<S, B>, S::ResponseBody> {
    let status = response.head.status();
    let answer = match revalidation {
        Revalidation::Validate(entry) if status == StatusCode::NOT_MODIFIED => {
            confirm(context, &entry, &response.head, leader).await
        }
        Revalidation::Complete if status == StatusCode::PARTIAL_CONTENT => {
            complete(context, response, leader).await
        }
        // The range and the precondition were the cache's, so that an error about them is not the
        // client's.
        Revalidation::Complete if status.is_client_error() => None,
        Revalidation::Validate(_) if status == StatusCode::PRECONDITION_FAILED => None,
        _ => return Revalidated::Other(response),
    };
    answer.map_or(Revalidated::Useless, Revalidated::Done)
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
    let (entry, is_stored) =
        updated_entry::replace(engine, request, (stored, response), head, leader).await;
    let status = CacheStatus::forward(request.forward_reason())
        .status(head.status())
        .stored(is_stored);
    respond::validated(engine, request, &entry, &head.original.headers, &status)
}

/// Answers with the whole that a stored part and the rest make together.
async fn complete<S: HttpService<B>, B: ReplayableBody>(
    context: &mut CacheContext<S, B>,
    response: OriginResponse<S::ResponseBody>,
    leader: Option<&FillLeader>,
) -> Option<CacheResponse<S, B>> {
    let OriginResponse { head, body } = response;
    let pending = PendingEntry::new(&context.config, &context.request, &head).ok()?;
    let rest = Limited::new(body, pending.storable.max_body)
        .collect()
        .await
        .ok()?;
    let entry = pending.store([&rest.to_bytes()], None, leader).await?;
    entry
        .response()
        .filter(|response| response.part.is_none())?;
    let status = CacheStatus::forward(Forward::Partial)
        .status(StatusCode::PARTIAL_CONTENT)
        .stored(true);
    let (engine, request) = (context.config.engine(), &context.request);
    respond::validated(engine, request, &entry, &head.original.headers, &status)
}

/// Applies the response to a HEAD to the stored response to a GET (RFC 9111 section 4.3.5).
///
/// If that updates the stored response, it answers this request: with the fields that the next HEAD
/// will be answered with, including those that the inner service omits without content.
pub(super) async fn after_head<S: HttpService<B>, B: ReplayableBody>(
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
        HeadEffect::MarkStale => {
            if request.shares_its_response() {
                engine
                    .tiers
                    .remove_response(&request.key, headers, stored)
                    .await;
            }
        }
        HeadEffect::Update => {
            let (entry, is_stored) =
                updated_entry::replace(engine, request, (stored, response), head, None).await;
            if is_stored {
                let status = CacheStatus::forward(request.forward_reason()).stored(true);
                return respond::validated(engine, request, &entry, headers, &status);
            }
        }
    }
    None
}
