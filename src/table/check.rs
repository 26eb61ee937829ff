//! Warnings about settings that are valid, but probably not intended.

mod limit;
mod route;

use std::{collections::HashMap, fmt};

use super::{
    plan::Plan,
    problem::{Location, TableProblem},
    settings::Settings,
};

/// A setting that is valid, but probably not intended; see [`Table::check`](crate::Table::check).
///
/// Its `Display` names the place in the table, and says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(TableProblem);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

pub(super) fn warnings(settings: &Settings) -> Vec<Warning> {
    let mut problems = unused_names(settings);
    problems.extend(unread_ip_header(settings));
    for (index, route) in settings.routes.iter().enumerate() {
        let of_route = route::problems(route, settings.ttl.max).into_iter();
        problems.extend(of_route.map(|problem| TableProblem::in_route(index, route, problem)));
    }
    problems.extend(repeated_keys(settings));
    for (index, limit) in settings.limits.iter().enumerate() {
        let of_limit = limit::problems(limit, &settings.limits[..index]).into_iter();
        problems.extend(of_limit.map(|problem| TableProblem::in_limit(index, limit, problem)));
    }
    problems.into_iter().map(Warning).collect()
}

/// Reports names of `[ttl]` and `[version]` that apply to no route: most are misspelt.
fn unused_names(settings: &Settings) -> Vec<TableProblem> {
    let (plan, _) = Plan::with_problems(settings);
    let ttls = settings.ttl.entities.keys().map(String::as_str).collect();
    let versions = settings.version.keys().map(String::as_str).collect();
    let sections: [(_, Vec<&str>); 2] = [("ttl", ttls), ("version", versions)];
    let mut problems = Vec::new();
    for (section, names) in sections {
        let is_used = |name: &str| {
            let mut routes = plan.routes().iter();
            routes.any(|route| nearest_above(&route.entity, &names) == Some(name))
        };
        for name in names.iter().filter(|name| !is_used(name)) {
            let message = "no route's key has this entity; correct the name, unless it is the entity of application values";
            let location = Location::Section(section, (*name).to_owned());
            problems.push(TableProblem::new(location, message));
        }
    }
    problems
}

/// Reports a field with the client's address that is never read, because no proxy is trusted.
fn unread_ip_header(settings: &Settings) -> Option<TableProblem> {
    let identity = &settings.identity;
    let is_unread = identity.ip_header.is_some() && identity.trusted_proxies.is_empty();
    is_unread.then(|| {
        let location = Location::Section("identity", "ip_header".to_owned());
        let message = "is read only from trusted proxies; write trusted_proxies = [\"10.0.0.0/8\"] with their addresses, or leave it out";
        TableProblem::new(location, message)
    })
}

/// The name that applies to an entity: its own, or the nearest above it.
fn nearest_above<'a>(mut entity: &'a str, names: &[&str]) -> Option<&'a str> {
    while !names.contains(&entity) {
        entity = entity.rsplit_once(':')?.0;
    }
    Some(entity)
}

fn repeated_keys(settings: &Settings) -> Vec<TableProblem> {
    let mut paths: HashMap<&str, &str> = HashMap::new();
    let mut problems = Vec::new();
    for (index, route) in settings.routes.iter().enumerate() {
        if let Some(key) = route.key.as_deref()
            && let Some(other) = paths.insert(key, &route.path)
        {
            let message = format!(
                "the route {other:?} has the same key, so they share responses; give them different ones"
            );
            problems.push(TableProblem::in_route(index, route, ("key", message)));
        }
    }
    problems
}
