//! What a table allows, but probably does not mean.

use std::{collections::HashMap, fmt};

use super::{
    Algorithm, Grpc, Limit, Route, Scope, Write,
    config::Fields,
    effect,
    plan::Plan,
    problem::{At, Problem},
};

/// Something in the table that is allowed, but probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(Problem);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn warnings(fields: &Fields) -> Vec<Warning> {
    let mut all = Vec::new();
    unused_names(fields, &mut all);
    for (index, route) in fields.routes.iter().enumerate() {
        let at = |field| At::Item {
            list: "route",
            index,
            label: route.path.clone(),
            field,
        };
        of_route(route, fields, &mut |field, message| {
            all.push(Problem::new(at(field), message))
        });
    }
    same_keys(fields, &mut all);
    for (index, limit) in fields.limits.iter().enumerate() {
        let at = |field| At::Item {
            list: "limit",
            index,
            label: limit.name.clone(),
            field,
        };
        of_limit(limit, &fields.limits[..index], &mut |field, message| {
            all.push(Problem::new(at(field), message));
        });
    }
    all.into_iter().map(Warning).collect()
}

/// A name that only keys of application code can have is worth a look; most are misspelt.
fn unused_names(fields: &Fields, all: &mut Vec<Problem>) {
    let (plan, _) = Plan::of(fields);
    let mut unused = |section, names: Vec<&str>| {
        for name in &names {
            let used = plan
                .routes()
                .iter()
                .any(|route| nearest_above(&route.entity, &names) == Some(*name));
            if !used {
                let at = At::Section(section, (*name).to_owned());
                all.push(Problem::new(
                    at,
                    "no route's key has this entity; only keys of application code will",
                ));
            }
        }
    };
    unused(
        "ttl",
        fields.ttl.entities.keys().map(String::as_str).collect(),
    );
    unused(
        "version",
        fields.version.keys().map(String::as_str).collect(),
    );
}

/// Of `names`, the one that says something of an entity: its own, or the nearest above.
fn nearest_above<'a>(mut entity: &'a str, names: &[&str]) -> Option<&'a str> {
    while !names.contains(&entity) {
        entity = entity.rsplit_once(':')?.0;
    }
    Some(entity)
}

pub(super) type Report<'a> = dyn FnMut(&'static str, String) + 'a;

fn of_route(route: &Route, fields: &Fields, report: &mut Report<'_>) {
    let key = route.key.as_deref().unwrap_or_default();
    if route.scope == Some(Scope::Public) && (key.contains("{user}") || key.contains("{#user}")) {
        report(
            "scope",
            "the key holds the user, and still everybody may share it; write scope = \"user\""
                .to_owned(),
        );
    }
    for pattern in route
        .invalidates
        .iter()
        .filter(|pattern| is_open_prefix(pattern))
    {
        let exact = pattern.trim_end_matches('*');
        report(
            "invalidates",
            format!(
                "{pattern:?} also matches longer identifiers, as {exact}0; write \"{exact}\" and \"{exact}:*\""
            ),
        );
    }
    if !route
        .path
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
    {
        report(
            "path",
            "no request has such a path; write it percent-encoded, without a query".to_owned(),
        );
    }
    for name in parameters(&route.path).filter(|name| !mentions(key, name) && !key.is_empty()) {
        report(
            "key",
            format!("it lacks {{{name}}}, so paths that differ only there share a response"),
        );
    }
    let posts = route.safe_methods.iter().any(|m| m != "GET" && m != "HEAD")
        || route.grpc == Some(Grpc::Read);
    if posts && !key.contains("{#body}") {
        report(
            "key",
            "requests with different bodies share a response; add {#body}".to_owned(),
        );
    }
    if route.write == Write::Behind && route.before {
        report(
            "before",
            "a write that is applied later declares nothing; leave it out".to_owned(),
        );
    }
    if route
        .ttl
        .is_some_and(|ttl| ttl > fields.ttl.max && ttl != super::unit::NEVER)
    {
        report(
            "ttl",
            "it is longer than [ttl] max, which caps it".to_owned(),
        );
    }
    effect::of_route(route, report);
}

/// `engagement:{id}*`: a star that does not stand for whole segments.
fn is_open_prefix(pattern: &str) -> bool {
    pattern
        .strip_suffix('*')
        .is_some_and(|start| !start.is_empty() && !start.ends_with([':', '*']))
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| {
        let (name, _) = part.split_once('}')?;
        Some(name.trim_start_matches('*'))
    })
}

fn mentions(key: &str, name: &str) -> bool {
    key.split('{').skip(1).any(|part| {
        part.split_once('}')
            .is_some_and(|(inside, _)| inside.trim_start_matches('#') == name)
    })
}

fn same_keys(fields: &Fields, all: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (index, route) in fields.routes.iter().enumerate() {
        let Some(key) = route.key.as_deref() else {
            continue;
        };
        if let Some(other) = seen.insert(key, &route.path) {
            let at = At::Item {
                list: "route",
                index,
                label: route.path.clone(),
                field: "key",
            };
            all.push(Problem::new(at, format!(
                "the route {other:?} has the same key, so they share responses; give them different ones"
            )));
        }
    }
}

fn of_limit(limit: &Limit, before: &[Limit], report: &mut Report<'_>) {
    if before.iter().any(|other| other.name == limit.name) {
        report(
            "name",
            "another limit has this name, so they share counters; name them apart".to_owned(),
        );
    }
    if limit.limit == 0 {
        report("limit", "it refuses every request".to_owned());
    }
    if limit.burst.is_some() && limit.algorithm != Algorithm::Gcra {
        report("burst", "only algorithm = \"gcra\" has a burst".to_owned());
    }
    effect::of_limit(limit, report);
}
