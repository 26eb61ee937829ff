//! Deciding whether a response may be stored, and under which key.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::{
    cache_request::{CacheRequest, ForwardedForm},
    config::Config,
    no_vary_search_key,
    origin_response::OriginHead,
    pending_entry::PendingEntry,
    superseded_entry::SupersededEntry,
    tags,
};
use crate::{
    engine::{core::Engine, fill::StoredMark},
    message::client_request::ClientRequest,
    semantics::{grpc, no_vary_search::SearchVariance, storable::Refusal},
};

/// A response with more field lines is not stored. Above what servers send; leaves room in a
/// `HeaderMap` for the cache's own fields.
const MAX_FIELDS: usize = 8 * 1024;

/// Decides whether the response to `request` may be stored.
///
/// # Errors
///
/// The reason why the response must not be stored.
pub(super) fn decide_storage(
    config: &Arc<Config>,
    request: &CacheRequest,
    head: &OriginHead,
) -> Result<PendingEntry, Refusal> {
    let OriginHead {
        original,
        parts,
        capture,
        ..
    } = head;
    if parts.headers.len() > MAX_FIELDS {
        return Err(Refusal::Size);
    }
    if may_depend_on_form(request, parts.status) {
        return Err(Refusal::Status);
    }
    let is_grpc = request.is_grpc_read() || grpc::is_grpc(&parts.headers);
    if is_grpc && !grpc::may_succeed(parts.status, &parts.headers) {
        return Err(Refusal::GrpcStatus);
    }
    let client_head = original.head(request.constraints.credentials);
    let (snapshot, route) = (&request.snapshot, request.route.as_deref());
    let (policy, vary) = (request.policy(), route.map_or(&[][..], |route| &route.vary));
    let storable = snapshot.storable(&client_head, parts, &head.exchange, &policy, vary)?;
    if let Some(condition) = &config.store_if
        && !condition(parts)
    {
        return Err(Refusal::Condition);
    }
    let tags = tags::of_head(config.engine(), request, head).ok_or(Refusal::Tags)?;
    let (length, max_body) = (head.content_length(), request.max_body());
    if length.is_some_and(|length| length > max_body as u64) {
        return Err(Refusal::Size);
    }
    let vary = storable.vary.clone();
    let variant = (!vary.is_empty()).then(|| vary.variant(&original.headers, &parts.headers));
    let user = request.key.user();
    let entity = route.map_or("", |route| &route.entity);
    let mut entry = storable.into_entry(capture.position, entity, user, tags);
    // The time before the inner service was called: the fence needs it to check the entry for followers.
    entry.local.captured = capture.at;
    let mut settled = request.clone();
    settle_key(config.engine(), &mut settled, original, &parts.headers);
    let has_moved = settled.key.as_str() != request.key.as_str();
    Ok(PendingEntry {
        config: Arc::clone(config),
        replaced: has_moved.then(|| SupersededEntry::of(request)).flatten(),
        superseded_if_refused: None,
        stored: StoredMark::default(),
        request: settled,
        original: Arc::clone(original),
        capture: *capture,
        head: Arc::new(entry),
        variant,
        max_body,
        length,
        is_grpc,
    })
}

/// Whether a response may be an error about the client's range or preconditions, which are not
/// part of the key.
fn may_depend_on_form(request: &CacheRequest, status: StatusCode) -> bool {
    let is_error = status.is_client_error() || status.is_server_error();
    is_error
        && request.forwarded_form == ForwardedForm::Unchanged
        && !request.constraints.form.is_unconditional()
}

/// Replaces the key under which the request was looked up by the one under which a response with
/// these fields is stored.
pub(super) fn settle_key(
    engine: &Engine,
    request: &mut CacheRequest,
    original: &ClientRequest,
    response: &HeaderMap,
) {
    if !request.uses_no_vary_search(&original.method) {
        return;
    }
    let rule = SearchVariance::of(response).map(Arc::new);
    if rule.is_none() && request.search_variance.is_none() {
        return;
    }
    if let Some(rule) = &rule {
        engine.search_variances.learn(request.key.base(), rule);
    }
    request.key = no_vary_search_key::key(original.target(), &original.headers, rule.as_deref());
    request.search_variance = rule;
}
