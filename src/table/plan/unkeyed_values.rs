use super::{route::RoutePlan, value_source::ValueSource};
use crate::{
    key::query::QueryFilter,
    table::{problem::FieldProblem, route::Route, route_options::Scope},
};

/// Rejects tags and invalidations with values that are not part of the key. With such a tag, the
/// first client would choose the tag of a response that is served to all; with such an
/// invalidation, a client would choose what to invalidate.
pub(super) fn check(route: &Route, plan: &RoutePlan) -> Result<(), FieldProblem> {
    let unkeyed = |source: &&ValueSource| !is_keyed(source, plan);
    for (text, tag) in route.tags.iter().zip(&plan.tags) {
        if let Some(source) = tag.sources().find(unkeyed) {
            return Err(("tags", unkeyed_message(text, source)));
        }
    }
    let client = |source: &&ValueSource| {
        matches!(
            source,
            ValueSource::Header(_) | ValueSource::Query(_) | ValueSource::WholeQuery
        )
    };
    for (text, template) in route.invalidates.iter().zip(&plan.invalidates) {
        if let Some(source) = template.sources().filter(client).find(unkeyed) {
            return Err(("invalidates", unkeyed_message(text, source)));
        }
    }
    Ok(())
}

fn is_keyed(source: &ValueSource, plan: &RoutePlan) -> bool {
    let in_key = plan.key.as_ref().is_some_and(|key| key.contains(source));
    in_key
        || match source {
            ValueSource::Answer(_) => true,
            // Without a template, host and path are the key.
            ValueSource::Path { .. } => plan.key.is_none(),
            ValueSource::Host => plan.key.is_none() || plan.hosts.is_one_authority(),
            ValueSource::User => plan.scope == Some(Scope::User),
            ValueSource::Header(name) => plan.vary.contains(name),
            ValueSource::Query(name) => plan.query.keeps(name) || plan.query == QueryFilter::InKey,
            ValueSource::WholeQuery => plan.query == QueryFilter::All,
            ValueSource::Body => false,
        }
}

fn unkeyed_message(text: &str, source: &ValueSource) -> String {
    let remedy = match source {
        ValueSource::Header(name) => {
            format!("write vary = [\"{name}\"], or add {{header.{name}}} to the key")
        }
        ValueSource::Query(name) => format!("add \"{name}\" to `query`"),
        ValueSource::User => "write scope = \"user\"".to_owned(),
        _ => "add it to the key".to_owned(),
    };
    format!(
        "{text:?} uses a value that is not part of the key, so another request could choose it; {remedy}"
    )
}
