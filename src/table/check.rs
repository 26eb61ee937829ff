//! Warnings about settings that are valid, but probably not intended.

mod limit;
mod route;

use std::{collections::HashMap, fmt};

use super::{
    plan::Plan,
    problem::{Location, TableProblem},
    route::Route,
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
    problems.extend(missing_host(settings));
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

/// The name that applies to an entity: its own, or the nearest above it.
fn nearest_above<'a>(mut entity: &'a str, names: &[&str]) -> Option<&'a str> {
    while !names.contains(&entity) {
        entity = entity.rsplit_once(':')?.0;
    }
    Some(entity)
}

/// Reports the first key that leaves out the host, although the table does not say which are served.
fn missing_host(settings: &Settings) -> Option<TableProblem> {
    let lacks_host = |route: &&Route| {
        let key = route.key.as_deref().unwrap_or("{host}");
        route.host.is_empty() && !key.contains("{host}") && !key.contains("{#host}")
    };
    let mut routes = settings.routes.iter().filter(|_| settings.host.is_empty());
    let route = routes.find(lacks_host)?;
    let message = format!(
        "the responses of the route {:?} are shared by requests with every `Host`, which a client can choose; write the names of this server, as host = [\"api.example.com\"], or host = [\"*\"] if no response depends on it",
        route.path
    );
    Some(TableProblem::new(Location::Top("host"), message))
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
