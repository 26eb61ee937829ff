//! From the table's words to a route's plan.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{
    entities::Entities,
    fields,
    path::Shape,
    route::RoutePlan,
    template::{self, Purpose, Source, Template},
};
use crate::{
    key::query::QueryFilter,
    table::{Route, Scope},
};

/// What is wrong with a route: the field, and the message.
type Wrong = (&'static str, String);

pub(super) fn route(
    id: usize,
    route: &Route,
    shape: &Shape,
    entities: &mut Entities,
    max: Duration,
) -> Result<RoutePlan, Wrong> {
    let parse = |text: &str, purpose| Template::parse(text, &shape.params, purpose);
    let entity = route
        .key
        .as_deref()
        .map(template::entity)
        .transpose()
        .map_err(|m| ("key", m))?;
    let key = route
        .key
        .as_deref()
        .map(|text| parse(text, Purpose::Key))
        .transpose()
        .map_err(|m| ("key", m))?;
    let entity: Arc<str> = match &entity {
        Some(entity) => entities.intern(entity),
        None => "".into(),
    };
    let query_in_key = filter(route)?;
    let ttl = route.ttl.unwrap_or_else(|| entities.ttl(&entity)).min(max);
    check_times(route, ttl)?;
    let templates = |texts: &[String], purpose| {
        texts
            .iter()
            .map(|text| parse(text, purpose))
            .collect::<Result<Box<[_]>, _>>()
    };
    let tags = templates(&route.tags, Purpose::Tag).map_err(|m| ("tags", m))?;
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
        hosts: route
            .host
            .iter()
            .map(|h| fields::host(h))
            .collect::<Result<_, _>>()
            .map_err(|m| ("host", m))?,
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
        needs_body: key.as_ref().is_some_and(|key| key.names(&Source::Body)),
        key_names_user: route.scope == Some(Scope::User)
            || [key.as_slice(), &tags]
                .concat()
                .iter()
                .any(|t| t.names(&Source::User)),
        key_names_host: !route.host.is_empty()
            || key.as_ref().is_none_or(|key| key.names(&Source::Host))
            || tags.iter().any(|tag| tag.names(&Source::Host)),
        query: variation(&query_in_key, key.as_ref()),
        query_in_key,
        key,
        tags,
        invalidates: templates(&route.invalidates, Purpose::Invalidates)
            .map_err(|m| ("invalidates", m))?,
    };
    check_keyed(route, &plan)?;
    Ok(plan)
}

fn check_times(route: &Route, ttl: Duration) -> Result<(), Wrong> {
    match route.refresh_ahead {
        Some(ahead) if ahead >= ttl => Err((
            "refresh_ahead",
            format!(
                "{ahead:?} before the end is not within the TTL of {ttl:?}; write less, or give the route a longer `ttl`"
            ),
        )),
        _ => Ok(()),
    }
}

fn negative(route: &Route, max: Duration) -> Result<Box<[(StatusCode, Duration)]>, Wrong> {
    route
        .negative
        .iter()
        .map(|(&code, &time)| match StatusCode::from_u16(code) {
            Ok(status) if (300..600).contains(&code) && code != 304 => Ok((status, time.min(max))),
            _ => Err((
                "negative",
                format!(
                    "{code} is no redirection or error; write 404, 410 or another from 300 to 599"
                ),
            )),
        })
        .collect()
}

fn filter(route: &Route) -> Result<QueryFilter, Wrong> {
    let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    match (&route.query, route.ignore_query.as_slice()) {
        (Some(_), [_, ..]) => Err((
            "ignore_query",
            "`query` already names the parameters that count; keep one of the two".to_owned(),
        )),
        (Some(names), []) => match names.iter().find(|name| name.contains('*')) {
            Some(name) => Err((
                "query",
                format!(
                    "{name:?} is a pattern; name each parameter, or use ignore_query for those that do not count"
                ),
            )),
            None => Ok(QueryFilter::Only(boxed(names))),
        },
        (None, []) => Ok(QueryFilter::All),
        (None, names) => match names
            .iter()
            .find(|name| name.trim_end_matches('*').contains('*') || name.ends_with("**"))
        {
            Some(name) => Err((
                "ignore_query",
                format!("{name:?} has a `*` before its end; write \"utm_*\""),
            )),
            None => Ok(QueryFilter::Ignore(boxed(names))),
        },
    }
}

/// What of the query is left to be a variation once the key has its part.
fn variation(filter: &QueryFilter, key: Option<&Template>) -> QueryFilter {
    let sources = || key.into_iter().flat_map(Template::sources);
    if sources().any(|source| *source == Source::WholeQuery) {
        return QueryFilter::InKey;
    }
    let in_key = || {
        sources().filter_map(|source| match source {
            Source::Query(name) => Some(name.clone()),
            _ => None,
        })
    };
    match filter {
        QueryFilter::All if in_key().next().is_some() => QueryFilter::Ignore(in_key().collect()),
        QueryFilter::Ignore(names) => {
            QueryFilter::Ignore(names.iter().cloned().chain(in_key()).collect())
        }
        QueryFilter::Only(names) => QueryFilter::Only(
            names
                .iter()
                .filter(|name| in_key().all(|k| k != **name))
                .cloned()
                .collect(),
        ),
        other => other.clone(),
    }
}

/// A tag chosen by what the key does not hold would be chosen by whoever came first.
fn check_keyed(route: &Route, plan: &RoutePlan) -> Result<(), Wrong> {
    for (text, tag) in route.tags.iter().zip(&plan.tags) {
        if let Some(source) = tag.sources().find(|source| !is_keyed(source, plan)) {
            return Err(("tags", unkeyed(text, source)));
        }
    }
    let client = |source: &&Source| {
        matches!(
            source,
            Source::Header(_) | Source::Query(_) | Source::WholeQuery
        )
    };
    for (text, template) in route.invalidates.iter().zip(&plan.invalidates) {
        if let Some(source) = template
            .sources()
            .filter(client)
            .find(|source| !is_keyed(source, plan))
        {
            return Err(("invalidates", unkeyed(text, source)));
        }
    }
    Ok(())
}

fn is_keyed(source: &Source, plan: &RoutePlan) -> bool {
    let in_key = plan.key.as_ref().is_some_and(|key| key.names(source));
    in_key
        || match source {
            Source::Answer(_) => true,
            // Without a template the key is host and path.
            Source::Path { .. } => plan.key.is_none(),
            Source::Host => plan.key.is_none() || plan.hosts.len() == 1,
            Source::User => plan.scope == Some(Scope::User),
            Source::Header(name) => plan.vary.contains(name),
            Source::Query(name) => plan.query.keys(name) || plan.query == QueryFilter::InKey,
            Source::WholeQuery => plan.query == QueryFilter::All,
            Source::Body => false,
        }
}

fn unkeyed(text: &str, source: &Source) -> String {
    let remedy = match source {
        Source::Header(name) => {
            format!("write vary = [\"{name}\"], or take {{header.{name}}} into the key")
        }
        Source::Query(name) => format!("add \"{name}\" to `query`"),
        Source::User => "write scope = \"user\"".to_owned(),
        _ => "take it into the key".to_owned(),
    };
    format!(
        "{text:?} uses a value that is not part of the key, so another request could choose it; {remedy}"
    )
}
