//! Whether a write may take the place of the one before it.

use http::{
    HeaderName, Method,
    header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE},
};

use super::idempotency::joined;
use crate::{key::hash, store::contracts::queue::Coalescing, write_queue::request::QueuedRequest};

/// The coalescing of a write to a route with `coalesce`; `named` are the fields that the route keeps.
///
/// Only an unconditional PUT or DELETE takes part: a conditional one may be refused by the service. Two
/// writes must agree in everything that may decide what is written and whether it is allowed: the user,
/// the path with its query, the fields that the route keeps, and, if both have content, its type, coding
/// and language.
pub(super) fn of(request: &QueuedRequest, named: &[HeaderName]) -> Coalescing {
    let is_conditional = |name: &HeaderName| name.as_str().starts_with("if-");
    if request.headers.keys().any(is_conditional) {
        return Coalescing::Never;
    }
    match request.method {
        Method::PUT => Coalescing::Put(place(request, named)),
        Method::DELETE => Coalescing::Delete(place(request, named)),
        _ => Coalescing::Never,
    }
}

/// A hash of the user and the resource, and one of the media type.
fn place(request: &QueuedRequest, named: &[HeaderName]) -> [u8; 16] {
    let target = request.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let user = request.user.as_deref().unwrap_or_default();
    let line = |name: &HeaderName| joined(&request.headers, name.as_str());
    let kept: Vec<_> = named.iter().map(line).collect();
    let kept = kept.iter().map(Vec::as_slice);
    let resource = [user.as_bytes(), target.as_bytes()].into_iter().chain(kept);
    let media_type = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE].map(|name| line(&name));
    let halves = [
        hash::of_parts(resource),
        hash::of_parts(media_type.iter().map(Vec::as_slice)),
    ];
    std::array::from_fn(|at| halves[at / 8][at % 8])
}
