//! The request of a background refresh, or of a refetch after a write.

use http::{HeaderName, Uri, header, request};

use super::{
    cache_request::CacheRequest,
    config::Config,
    no_vary_search_key,
    request_constraints::{RequestConstraints, ResponseForm},
    request_source::RequestSource,
};
use crate::{
    identity::{User, UserId},
    key::KeyBuf,
    message::{
        target::{self, Target},
        unconditional_get,
    },
    semantics::{
        cache_control::RequestCacheControl, list, sharing::Credentials,
        storage_policy::SharingScope,
    },
    table::RoutePlan,
};

/// Makes the head of the request that refreshes the candidate of `request`: an unconditional GET
/// with the fields and extensions of the client's request, but without its credentials, because
/// the response is for everybody. Changes `request` accordingly. The same is made of a refetch, whose
/// fields and extensions are those of the write.
///
/// Credentials that select the candidate stay: in the key, as with the scope of a user, or in
/// `Vary`. `None` if the request would carry others, or have another key.
pub(super) fn make(
    config: &Config,
    request: &mut CacheRequest,
    client: &request::Parts,
) -> Option<request::Parts> {
    let mut parts = unconditional_get::from_parts(client);
    let is_for_user =
        request.constraints.scope == SharingScope::User || key_names_user(config, request, &parts);
    if !is_for_user {
        parts = without_credentials(config, request, parts)?;
    }
    if let Some(change) = &config.refresh_request {
        change(&mut parts);
    }
    if !is_for_user && has_same_user(config, request, client, &parts) {
        return None;
    }
    request.is_refresh = true;
    request.constraints = RequestConstraints {
        form: ResponseForm::WHOLE,
        directives: RequestCacheControl::default(),
        credentials: credentials(config, request, &parts),
        ..request.constraints
    };
    Some(parts)
}

/// Whether the key contains the user, so that no other user gets the response.
fn key_names_user(config: &Config, request: &CacheRequest, parts: &request::Parts) -> bool {
    let names = |route: &RoutePlan| route.key_names_user;
    let Some(user) = &request.user else {
        return false;
    };
    request.route.as_deref().is_some_and(names) && {
        let mut other = parts.clone();
        other.extensions.insert(UserId::new(format!("{user}+")));
        has_same_key(config, request, parts) && !has_same_key(config, request, &other)
    }
}

/// Whether `Keep::identify` still finds the client's user, for example in an extension.
fn has_same_user(
    config: &Config,
    request: &CacheRequest,
    client: &request::Parts,
    parts: &request::Parts,
) -> bool {
    let user = |parts| config.engine().user(&request.snapshot, parts);
    let id = |user: &Option<User<'_>>| user.as_ref().map(|user| user.id().to_owned());
    let of_refresh = id(&user(parts));
    of_refresh.is_some() && of_refresh == id(&user(client))
}

/// Removes each credential without which the request has the same key. `None` if the key is another
/// one in any case, or if a credential cannot be removed.
fn without_credentials(
    config: &Config,
    request: &CacheRequest,
    mut parts: request::Parts,
) -> Option<request::Parts> {
    let names = credential_fields(request, &parts);
    let mut remove = |change: &dyn Fn(&mut request::Parts)| {
        let mut changed = parts.clone();
        change(&mut changed);
        if has_same_key(config, request, &changed) {
            parts = changed;
        }
    };
    remove(&|parts| {
        parts.extensions.remove::<UserId>();
    });
    for name in names {
        remove(&|parts| {
            parts.headers.remove(&name);
        });
    }
    let parts = without_parameters(config, request, parts)?;
    // Compared last: a version that was bumped meanwhile would have kept all credentials.
    has_same_key(config, request, &parts).then_some(parts)
}

/// The names of the fields that are credentials and do not select the variant.
fn credential_fields(request: &CacheRequest, parts: &request::Parts) -> Vec<HeaderName> {
    let stored = request.candidate_response().map(|(_, stored)| stored);
    let varies_by = |name: &HeaderName| {
        let route = request.route.as_ref();
        route.is_some_and(|route| route.vary.contains(name))
            || stored.is_some_and(|stored| {
                let mut members = list::members(&stored.headers, &header::VARY);
                members.any(|member| member.eq_ignore_ascii_case(name.as_str().as_bytes()))
            })
    };
    let identity = &request.snapshot.plan.identity;
    let is_credential = |name: &&HeaderName| {
        (**name == header::COOKIE || identity.is_credential(name)) && !varies_by(name)
    };
    let names = parts.headers.keys();
    names.filter(is_credential).cloned().collect()
}

/// Removes the credentials in the query that are not part of the key. `None` if one of them cannot be
/// removed, because the application keeps the URI as received in an extension of its own.
fn without_parameters(
    config: &Config,
    request: &CacheRequest,
    mut parts: request::Parts,
) -> Option<request::Parts> {
    let engine = config.engine();
    let received = engine.uri(&parts.uri, &parts.extensions).clone();
    let names = &request.snapshot.plan.identity.credentials;
    let query = received.query().unwrap_or_default();
    for parameter in names.parameters(query) {
        let uri = engine.uri(&parts.uri, &parts.extensions);
        let without = target::without_parameter(uri, parameter)?;
        let mut changed = parts.clone();
        changed.uri = target::without_parameter(&parts.uri, parameter)?;
        if let Some(original) = target::original_uri_mut(&mut changed.extensions) {
            *original = target::without_parameter(original, parameter)?;
        }
        if has_key_of(config, request, &changed, &without) {
            parts = changed;
            if *engine.uri(&parts.uri, &parts.extensions) != without {
                return None;
            }
        }
    }
    Some(parts)
}

/// Whether the request that was looked up under the key of `request` has that key with `parts`, too.
fn has_same_key(config: &Config, request: &CacheRequest, parts: &request::Parts) -> bool {
    let uri = config.engine().uri(&parts.uri, &parts.extensions);
    has_key_of(config, request, parts, uri)
}

/// [`has_same_key`] with this URI as received.
fn has_key_of(config: &Config, request: &CacheRequest, parts: &request::Parts, uri: &Uri) -> bool {
    let (snapshot, wanted) = (&request.snapshot, request.key.as_bytes());
    if request.route.is_none() {
        let (target, rule) = (Target::new(uri, &parts.headers), &request.search_variance);
        let key = no_vary_search_key::key(target, &parts.headers, rule.as_deref());
        return key.as_bytes() == wanted;
    }
    let source = RequestSource::new(config, snapshot, parts, uri);
    let host = || target::authority(uri, &parts.headers);
    let mut key = KeyBuf::new();
    let matched = snapshot.plan.find_route(uri.path(), host).ok();
    matched
        .and_then(|matched| source.by_route(&matched, None, &mut key).ok())
        .is_some_and(|request| request.key.as_bytes() == wanted)
}

fn credentials(config: &Config, request: &CacheRequest, parts: &request::Parts) -> Credentials {
    let (engine, snapshot) = (config.engine(), &request.snapshot);
    let is_identified = engine.user(snapshot, parts).is_some();
    let query = engine.uri(&parts.uri, &parts.extensions).query();
    snapshot.credentials(&parts.headers, query, is_identified)
}
