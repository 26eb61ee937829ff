//! Decides which query parameters distinguish the responses of a route.

use super::{template::Template, value_source::ValueSource};
use crate::{
    key::{query::QueryFilter, query_name::ListedNames},
    table::{problem::FieldProblem, route::Route},
};

/// The query parameters that distinguish responses, from `query` or `ignore_query`.
pub(super) fn filter(route: &Route) -> Result<QueryFilter, FieldProblem> {
    let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    match (&route.query, route.ignore_query.as_slice()) {
        (Some(_), [_, ..]) => Err((
            "ignore_query",
            "`query` already names the parameters that distinguish responses; keep one of the two"
                .to_owned(),
        )),
        (Some(names), []) => match names.iter().find(|name| name.contains('*')) {
            Some(name) => Err((
                "query",
                format!(
                    "{name:?} is a pattern; name each parameter, or use ignore_query for those to ignore"
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

/// The query parameters that form the `?query` variation: those that distinguish responses, and are
/// not in the key's template.
pub(super) fn variation(filter: &QueryFilter, key: Option<&Template>) -> QueryFilter {
    let sources: Vec<_> = key.into_iter().flat_map(Template::sources).collect();
    if sources.contains(&&ValueSource::WholeQuery) {
        return QueryFilter::InKey;
    }
    let in_key = sources.into_iter().filter_map(|source| match source {
        ValueSource::Query(name) => Some(name),
        _ => None,
    });
    let in_key: Vec<_> = in_key.collect();
    match filter {
        QueryFilter::All if !in_key.is_empty() => {
            QueryFilter::Ignore(in_key.into_iter().cloned().collect())
        }
        QueryFilter::Ignore(names) => {
            QueryFilter::Ignore(names.iter().chain(in_key).cloned().collect())
        }
        QueryFilter::Only(names) => {
            let others = names.iter().filter(|name| !in_key.contains(name));
            QueryFilter::Only(others.cloned().collect())
        }
        other => other.clone(),
    }
}

/// The names in `query`, and those of parameters in the key's template. Empty without `query`: then
/// all parameters are part of the key, except those that `ignore_query` names.
pub(super) fn listed(filter: &QueryFilter, key: Option<&Template>) -> ListedNames {
    let QueryFilter::Only(names) = filter else {
        return ListedNames::default();
    };
    let in_key = key.into_iter().flat_map(Template::sources);
    let in_key = in_key.filter_map(|source| match source {
        ValueSource::Query(name) => Some(name),
        _ => None,
    });
    ListedNames::new(names.iter().chain(in_key).cloned())
}
