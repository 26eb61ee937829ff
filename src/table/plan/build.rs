//! Compiles routes.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{
    behind_route::BehindRoute,
    entities::Entities,
    fields,
    hosts::HostSet,
    key_inputs,
    path::PathPattern,
    placeholder::TemplatePurpose,
    query,
    route::{DEFAULT_MAX_BODY, RoutePlan},
    template::{self, Template},
    unkeyed_values,
    value_source::ValueSource,
};
use crate::{
    identity::IdentityPlan,
    semantics::storable::is_about_request,
    table::{problem::FieldProblem, quantities, route::Route, route_options::Scope, ttl},
};

/// Compiles a route. Adds its entity to `entities`; `max` is the table's longest TTL, `hosts` are served if
/// the route names none, and `identity` knows which fields are credentials.
pub(super) fn route(
    id: usize,
    route: &Route,
    pattern: &PathPattern,
    entities: &mut Entities,
    max: Duration,
    hosts: &HostSet,
    identity: &IdentityPlan,
) -> Result<RoutePlan, FieldProblem> {
    let template = |field, text: &str, purpose| {
        Template::parse(text, &pattern.params, purpose).map_err(|message| (field, message))
    };
    let templates = |field, texts: &[String], purpose| -> Result<Box<[_]>, _> {
        let parsed = texts.iter().map(|text| template(field, text, purpose));
        parsed.collect()
    };
    let entity: Arc<str> = match &route.key {
        Some(text) => {
            let entity = template::entity(text).map_err(|m| ("key", m))?;
            Arc::clone(&entities.settings(&entity).entity)
        }
        None => "".into(),
    };
    let key = |text| template("key", text, TemplatePurpose::Key);
    let key = route.key.as_deref().map(key).transpose()?;
    let query_in_key = query::filter(route)?;
    key_inputs::check(route, &pattern.params, key.as_ref(), &query_in_key)?;
    let ttl = ttl(route, max, || entities.ttl(&entity))?;
    let tags = templates("tags", &route.tags, TemplatePurpose::Tag)?;
    let uses = |source| key.iter().chain(&tags).any(|t| t.contains(&source));
    let hosts = match route.host.as_slice() {
        [] => hosts.clone(),
        own => HostSet::parse(own).map_err(|m| ("host", m))?,
    };
    let plan = RoutePlan {
        id,
        path: route.path.as_str().into(),
        version: entities.version(&entity),
        entity,
        scope: route.scope,
        ttl,
        override_freshness: route.override_freshness,
        refresh_ahead: route.refresh_ahead,
        early_refresh: route.early_refresh,
        stale_while_revalidate: route.stale_while_revalidate,
        stale_if_error: route.stale_if_error,
        negative: negative(route, max)?,
        has_own_hosts: !route.host.is_empty(),
        vary: fields::vary(&route.vary).map_err(|m| ("vary", m))?,
        strip: fields::headers(&route.strip).map_err(|m| ("strip", m))?,
        max_body: route.max_body.unwrap_or(DEFAULT_MAX_BODY),
        safe_methods: fields::methods(&route.safe_methods).map_err(|m| ("safe_methods", m))?,
        request_directives: route.request_directives,
        before: route.before,
        partial_writes: route.partial_writes,
        settle: route.settle,
        write: route.write,
        through: route.through,
        behind: BehindRoute::compile(route, key.as_ref(), identity)?,
        grpc: route.grpc,
        needs_body: uses(ValueSource::Body),
        key_names_user: route.scope == Some(Scope::User) || uses(ValueSource::User),
        key_names_host: !hosts.is_any() || key.is_none() || uses(ValueSource::Host),
        hosts,
        query: query::variation(&query_in_key, key.as_ref()),
        listed_query: query::listed(&query_in_key, key.as_ref()),
        query_in_key,
        key,
        tags,
        invalidates: templates(
            "invalidates",
            &route.invalidates,
            TemplatePurpose::Invalidates,
        )?,
    };
    unkeyed_values::check(route, &plan)?;
    Ok(plan)
}

/// The route's own TTL or, if it has a key, the one of the key's entity.
fn ttl(
    route: &Route,
    max: Duration,
    of_entity: impl Fn() -> Duration,
) -> Result<Option<Duration>, FieldProblem> {
    if let Some(own) = route.ttl {
        ttl::check(own, max).map_err(|message| ("ttl", message))?;
    }
    let ttl = route
        .ttl
        .or_else(|| route.key.as_ref().map(|_| of_entity()));
    let ttl = ttl.map(|ttl| ttl.min(max));
    match (route.refresh_ahead, ttl) {
        (Some(ahead), Some(ttl)) if ahead >= ttl => Err((
            "refresh_ahead",
            format!(
                "{} must be shorter than the TTL of {}; write less, or give the route a longer `ttl`",
                quantities::text(ahead),
                quantities::text(ttl)
            ),
        )),
        _ => Ok(ttl),
    }
}

fn negative(route: &Route, max: Duration) -> Result<Box<[(StatusCode, Duration)]>, FieldProblem> {
    route
        .negative
        .iter()
        .map(|(&code, &time)| {
            let status = negative_status(code)?;
            ttl::check(time, max).map(|()| (status, time.min(max)))
        })
        .map(|checked: Result<_, String>| checked.map_err(|message| ("negative", message)))
        .collect()
}

fn negative_status(code: u16) -> Result<StatusCode, String> {
    match StatusCode::from_u16(code) {
        Ok(status) if is_about_request(status) => Err(format!(
            "{code} concerns one request or client, not the path, so it must not answer others; remove it, or write 404, 410 or another status that concerns the path"
        )),
        Ok(status) if (300..600).contains(&code) && code != 304 => Ok(status),
        _ => Err(format!(
            "{code} is not the status of a redirection or an error; write 404, 410 or another from 300 to 599"
        )),
    }
}
