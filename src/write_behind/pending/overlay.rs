//! What pending writes show.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    Method,
    header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE},
};
use serde_json::value::RawValue;

use super::json_array::ArrayEnd;
use crate::{
    message::media_type::is_json,
    semantics::storage_policy::SharingScope,
    table::{PendingMode, RoutePlan},
    write_queue::request::QueuedRequest,
};

/// What a response shows of pending writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Overlay {
    Nothing,
    /// There is a write, but what it would show is not known.
    Unknown,
    /// The content of this PUT, or after this DELETE none, in place of the service's response.
    Replaced(Arc<QueuedRequest>),
    /// The contents of POSTs, in the order in which they are shown.
    Elements(ArrayEnd, Vec<Bytes>),
}

impl Overlay {
    /// What `requests`, the oldest first, show to `user` on this route.
    pub(super) fn of(
        route: &RoutePlan,
        requests: &[Arc<QueuedRequest>],
        user: Option<&str>,
    ) -> Self {
        let mode = route.behind.as_ref().map(|behind| behind.pending);
        let mut shown = requests
            .iter()
            .filter(|request| is_shown(route, request, user));
        match mode.unwrap_or_default() {
            PendingMode::Ignore => Self::Nothing,
            PendingMode::Body => shown.next_back().map_or(Self::Nothing, Self::of_last),
            PendingMode::Prepend => {
                Self::of_elements(ArrayEnd::Front, shown.rev().filter_map(element))
            }
            PendingMode::Append => Self::of_elements(ArrayEnd::Back, shown.filter_map(element)),
        }
    }

    fn of_last(request: &Arc<QueuedRequest>) -> Self {
        let headers = &request.headers;
        if has_query(request) {
            return Self::Unknown;
        }
        match request.method {
            // Not every client accepts the coding, and a part is not the content.
            Method::PUT
                if headers.contains_key(CONTENT_ENCODING)
                    || headers.contains_key(CONTENT_RANGE) =>
            {
                Self::Unknown
            }
            Method::PUT | Method::DELETE => Self::Replaced(Arc::clone(request)),
            _ => Self::Unknown,
        }
    }

    fn of_elements(end: ArrayEnd, elements: impl Iterator<Item = Bytes>) -> Self {
        let elements: Vec<_> = elements.collect();
        match elements.is_empty() {
            true => Self::Nothing,
            false => Self::Elements(end, elements),
        }
    }
}

/// Whether the request is by `user`.
pub(super) fn is_own(request: &QueuedRequest, user: Option<&str>) -> bool {
    user.is_some() && request.user.as_deref() == user
}

/// A write that nobody has vouched for is shown to its own user only. So is every write on a route
/// with a response for each user: the users share the queue's key.
fn is_shown(route: &RoutePlan, request: &QueuedRequest, user: Option<&str>) -> bool {
    let is_for_all = request.is_vouched && route.sharing() != SharingScope::User;
    is_for_all || is_own(request, user)
}

/// Whether the write was to a target with a query, whose content is not that of the whole resource.
fn has_query(request: &QueuedRequest) -> bool {
    request.uri.query().is_some_and(|query| !query.is_empty())
}

/// The content of a POST, if it is JSON.
fn element(request: &Arc<QueuedRequest>) -> Option<Bytes> {
    let headers = &request.headers;
    let is_json = headers
        .get(CONTENT_TYPE)
        .is_none_or(|content_type| is_json(content_type.as_bytes()));
    let is_element = request.method == Method::POST
        && !has_query(request)
        && is_json
        && !headers.contains_key(CONTENT_ENCODING)
        && serde_json::from_slice::<&RawValue>(&request.body).is_ok();
    is_element.then(|| request.body.clone())
}
