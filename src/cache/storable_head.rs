//! Deciding whether a response may be stored.

use std::sync::Arc;

use http::StatusCode;

use super::{
    cache_request::{CacheRequest, ForwardedForm},
    config::Config,
    origin_response::OriginHead,
    tags,
};
use crate::{
    semantics::{storable::Refusal, stored::Variant},
    store::entry::Entry,
};

/// A response with more field lines is not stored: more than servers send, and few enough for a
/// `HeaderMap` to take the cache's own fields as well.
const MAX_FIELDS: usize = 8 * 1024;

/// The head of a response that may be stored.
pub(super) struct StorableHead {
    /// The entry that will be stored, without its body.
    pub(super) head: Arc<Entry>,
    /// The variant of its key that the response is.
    pub(super) variant: Option<Variant>,
    /// The longest body that is stored, in bytes.
    pub(super) max_body: usize,
    /// The length that `Content-Length` states.
    pub(super) length: Option<u64>,
}

impl StorableHead {
    /// # Errors
    ///
    /// Why the response must not be stored.
    pub(super) fn new(
        config: &Config,
        request: &CacheRequest,
        head: &OriginHead,
    ) -> Result<Self, Refusal> {
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
        let client_head = original.head(request.conditions.credentials);
        let (snapshot, route) = (&request.snapshot, request.route.as_deref());
        let stored = snapshot.storable(&client_head, parts, &head.exchange, route)?;
        if let Some(condition) = &config.store_if
            && !condition(parts)
        {
            return Err(Refusal::Condition);
        }
        let tags = tags::of_head(request, head).ok_or(Refusal::Tags)?;
        let (length, max_body) = (head.content_length(), request.max_body());
        if length.is_some_and(|length| length > max_body as u64) {
            return Err(Refusal::Size);
        }
        let vary = stored.vary.clone();
        let variant = (!vary.is_empty()).then(|| vary.variant(&original.headers, &parts.headers));
        let user = request.key.user();
        let entity = route.map_or("", |route| &route.entity);
        let mut entry = stored.into_entry(capture.position, entity, user, tags);
        // Followers check it by the time of the call, too.
        entry.local.captured = capture.at;
        Ok(Self {
            head: Arc::new(entry),
            variant,
            max_body,
            length,
        })
    }
}

/// Whether a response may be an error about the client's range or preconditions, which are not
/// part of the key.
fn may_depend_on_form(request: &CacheRequest, status: StatusCode) -> bool {
    let is_error = status.is_client_error() || status.is_server_error();
    is_error
        && request.forwarded_form == ForwardedForm::Unchanged
        && !request.conditions.form.is_unconditional()
}
