//! The request of a background refresh.

use std::mem;

use http::{HeaderMap, HeaderName, header, request};

use super::{
    cache_request::CacheRequest,
    config::Config,
    request_constraints::{RequestConstraints, ResponseForm},
    request_source::RequestSource,
};
use crate::{
    identity::UserId,
    key::KeyBuf,
    message::{target, unconditional_get},
    semantics::{
        cache_control::RequestCacheControl, list, sharing::Credentials,
        storage_policy::SharingScope,
    },
};

/// Makes the head of the request that refreshes the candidate of `request`: an unconditional GET
/// with the fields and extensions of the client's request, but without its credentials, because
/// the response is for everybody. Changes `request` accordingly.
///
/// Credentials that select the candidate stay: in the key, as with the scope of a user, or in
/// `Vary`.
pub(super) fn make(
    config: &Config,
    request: &mut CacheRequest,
    client: &request::Parts,
) -> request::Parts {
    let mut parts = unconditional_get::from_parts(client);
    if request.constraints.scope != SharingScope::User {
        remove_credentials(config, request, &mut parts);
    }
    if let Some(change) = &config.refresh_request {
        change(&mut parts);
    }
    request.is_refresh = true;
    request.constraints = RequestConstraints {
        form: ResponseForm::WHOLE,
        directives: RequestCacheControl::default(),
        credentials: credentials(config, request, &parts),
        ..request.constraints
    };
    parts
}

/// Removes the credentials without which the request has the same key and the same variant.
fn remove_credentials(config: &Config, request: &CacheRequest, parts: &mut request::Parts) {
    if let Some(user) = parts.extensions.remove::<UserId>()
        && !has_same_key(config, request, parts)
    {
        parts.extensions.insert(user);
    }
    let identity = &request.snapshot.plan.identity;
    let is_credential = |name: &HeaderName| {
        let is_one = *name == header::COOKIE || identity.is_credential(name);
        is_one && !varies_by(request, name)
    };
    let names: Vec<_> = parts.headers.keys().cloned().collect();
    for name in names.into_iter().filter(is_credential) {
        // Each by itself: the key may contain one of them, which all who share the response have.
        let without = without_field(&parts.headers, &name);
        let with = mem::replace(&mut parts.headers, without);
        if !has_same_key(config, request, parts) {
            parts.headers = with;
        }
    }
}

fn without_field(headers: &HeaderMap, name: &HeaderName) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(name);
    headers
}

fn varies_by(request: &CacheRequest, name: &HeaderName) -> bool {
    let route = request.route.as_ref();
    let stored = request.candidate_response().map(|(_, stored)| stored);
    route.is_some_and(|route| route.vary.contains(name))
        || stored.is_some_and(|stored| {
            let mut members = list::members(&stored.headers, &header::VARY);
            members.any(|member| member.eq_ignore_ascii_case(name.as_str().as_bytes()))
        })
}

/// Whether the request that was looked up under the key of `request` has that key with `parts`, too.
fn has_same_key(config: &Config, request: &CacheRequest, parts: &request::Parts) -> bool {
    if request.route.is_none() {
        // The key is the URL.
        return true;
    }
    let (snapshot, uri) = (
        &request.snapshot,
        config.engine().uri(&parts.uri, &parts.extensions),
    );
    let source = RequestSource::new(config, snapshot, parts, uri);
    let host = || target::authority(uri, &parts.headers);
    let mut key = KeyBuf::new();
    let matched = snapshot.plan.find_route(uri.path(), host).ok();
    matched
        .and_then(|matched| source.by_route(&matched, None, &mut key).ok())
        .is_some_and(|anonymous| anonymous.key.as_bytes() == request.key.as_bytes())
}

fn credentials(config: &Config, request: &CacheRequest, parts: &request::Parts) -> Credentials {
    let (engine, snapshot) = (config.engine(), &request.snapshot);
    let is_identified = engine.user(snapshot, parts).is_some();
    let query = engine.uri(&parts.uri, &parts.extensions).query();
    snapshot.credentials(&parts.headers, query, is_identified)
}
