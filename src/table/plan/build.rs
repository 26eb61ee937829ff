//! Compiles routes.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{
    entities::Entities,
    fields,
    hosts::HostSet,
    path::PathPattern,
    placeholder::TemplatePurpose,
    query,
    route::RoutePlan,
    template::{self, Template},
    unkeyed_values,
    value_source::ValueSource,
};
use crate::table::{problem::FieldProblem, route::Route, route_options::Scope};

/// Compiles a route. Adds its entity to `entities`; `max` is the table's longest TTL, and `hosts` are
/// served if the route names none.
pub(super) fn route(
    id: usize,
    route: &Route,
    pattern: &PathPattern,
    entities: &mut Entities,
    max: Duration,
    hosts: &HostSet,
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
    let ttl = route.ttl.unwrap_or_else(|| entities.ttl(&entity)).min(max);
    check_times(route, ttl)?;
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
        vary: fields::headers(&route.vary).map_err(|m| ("vary", m))?,
        strip: fields::headers(&route.strip).map_err(|m| ("strip", m))?,
        max_body: route.max_body.unwrap_or(1 << 20),
        safe_methods: fields::methods(&route.safe_methods).map_err(|m| ("safe_methods", m))?,
        request_directives: route.request_directives,
        before: route.before,
        settle: route.settle,
        write: route.write,
        through: route.through,
        grpc: route.grpc,
        needs_body: uses(ValueSource::Body),
        key_names_user: route.scope == Some(Scope::User) || uses(ValueSource::User),
        key_names_host: !hosts.is_any() || key.is_none() || uses(ValueSource::Host),
        hosts,
        query: query::variation(&query_in_key, key.as_ref()),
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

fn check_times(route: &Route, ttl: Duration) -> Result<(), FieldProblem> {
    match route.refresh_ahead {
        Some(ahead) if ahead >= ttl => Err((
            "refresh_ahead",
            format!(
                "{ahead:?} must be shorter than the TTL of {ttl:?}; write less, or give the route a longer `ttl`"
            ),
        )),
        _ => Ok(()),
    }
}

fn negative(route: &Route, max: Duration) -> Result<Box<[(StatusCode, Duration)]>, FieldProblem> {
    route
        .negative
        .iter()
        .map(|(&code, &time)| match StatusCode::from_u16(code) {
            Ok(status) if (300..600).contains(&code) && code != 304 => Ok((status, time.min(max))),
            _ => Err((
                "negative",
                format!(
                    "{code} is not the status of a redirection or an error; write 404, 410 or another from 300 to 599"
                ),
            )),
        })
        .collect()
}
