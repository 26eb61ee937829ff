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
/// the path with its query, the content's type, coding and language, and the fields that the route keeps.
pub(super) fn of(request: &QueuedRequest, named: &[HeaderName]) -> Coalescing {
    let is_conditional = |name: &HeaderName| name.as_str().starts_with("if-");
    if request.headers.keys().any(is_conditional) {
        return Coalescing::Never;
    }
    match request.method {
        Method::PUT => Coalescing::Put(resource(request, named)),
        Method::DELETE => Coalescing::Delete(resource(request, named)),
        _ => Coalescing::Never,
    }
}

fn resource(request: &QueuedRequest, named: &[HeaderName]) -> [u8; 16] {
    let target = request.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let user = request.user.as_deref().unwrap_or_default();
    let built_in = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE];
    let fields = built_in.iter().chain(named);
    let fields: Vec<_> = fields
        .map(|name| joined(&request.headers, name.as_str()))
        .collect();
    let fields = fields.iter().map(Vec::as_slice);
    hash::of_parts(
        [user.as_bytes(), target.as_bytes()]
            .into_iter()
            .chain(fields),
    )
}
