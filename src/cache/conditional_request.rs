//! Adding preconditions to a forwarded request, so that the inner service validates a stored
//! response (RFC 9111 section 4.3) or sends the rest of a stored part (section 3.4), or removing the
//! client's preconditions and range, so that the response can be stored.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::cache_request::{CacheRequest, ForwardedForm};
use crate::{
    semantics::{
        conditional,
        partial::{self, Completion},
        range::{self, Selection},
        stored_response::StoredResponse,
    },
    store::entry::Entry,
};

/// How the forwarded request lets the inner service confirm or complete the candidate.
pub(super) enum CandidateUse {
    None,
    /// Preconditions that validate this entry.
    Validate(Arc<Entry>),
    /// A range that asks for the rest of the candidate, which is a partial response.
    Complete,
}

/// Adds preconditions that validate the candidate, or removes the client's preconditions and range
/// so that the response can be stored.
///
/// `is_hit_for_miss`: whether the key is marked hit-for-miss; looked up only for a conditional request.
pub(super) fn prepare(
    request: &mut CacheRequest,
    headers: &mut HeaderMap,
    is_hit_for_miss: bool,
) -> CandidateUse {
    if request.constraints.form.head {
        return CandidateUse::None;
    }
    if let Some(revalidation) = revalidate_candidate(request, headers) {
        return revalidation;
    }
    // The whole response answers all requests of a route, this one included.
    if request.route.is_some() || !is_hit_for_miss && can_fill(request, headers) {
        make_unconditional(request, headers);
    }
    CandidateUse::None
}

/// Whether to forward a conditional request on an unlisted path without its preconditions: the whole
/// response can then be stored, and the cache evaluates the preconditions (RFC 9111 section 4.3.2).
/// Otherwise the inner service evaluates them, and may answer with a 304.
fn can_fill(request: &CacheRequest, headers: &HeaderMap) -> bool {
    let form = request.constraints.form;
    // These preconditions are for the origin server alone.
    let is_for_origin = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE]
        .iter()
        .any(|name| headers.contains_key(name));
    form.conditional && !form.range && !is_for_origin && request.shares_its_response()
}

fn make_unconditional(request: &mut CacheRequest, headers: &mut HeaderMap) {
    conditional::make_unconditional(headers);
    request.forwarded_form = ForwardedForm::Unconditional;
}

fn revalidate_candidate(
    request: &mut CacheRequest,
    headers: &mut HeaderMap,
) -> Option<CandidateUse> {
    let form = request.constraints.form;
    let (entry, response) = request.candidate_response()?;
    // The inner service may compare validators without regard to the user, and confirm a response
    // that must not answer this request.
    let is_listed = request.route.is_some();
    if !request.constraints.permit(is_listed, &response.lifetime) {
        return None;
    }
    let (status, stored) = (response.status, &response.headers);
    let entry = Arc::clone(entry);
    match response.part {
        None => {
            let can_be_validated = conditional::validate(headers, status, stored);
            if can_be_validated {
                request.forwarded_form = ForwardedForm::Validating;
                return Some(CandidateUse::Validate(entry));
            }
            request.forwarded_form = ForwardedForm::Unconditional;
        }
        Some(_) if form.conditional => {}
        // The range stays: if the part is no longer valid, the client gets the new range.
        Some(_) if form.range => {
            if is_covered(headers, response) && conditional::add_validators(headers, status, stored)
            {
                return Some(CandidateUse::Validate(entry));
            }
        }
        Some(part) => {
            // A representation too large to be stored is not assembled from parts.
            let is_too_large = |length| length > request.max_body() as u64;
            if !part.complete.is_some_and(is_too_large)
                && let Some(rest) = partial::completion(stored, part, response.body.len() as u64)
            {
                request_rest(rest, headers);
                return Some(CandidateUse::Complete);
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

/// Whether the stored partial response contains every byte of the requested range.
fn is_covered(headers: &HeaderMap, stored: &StoredResponse) -> bool {
    matches!(range::select(headers, stored), Selection::Spans(_))
}
