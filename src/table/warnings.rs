//! Warnings about settings that are valid, but probably not intended.

mod behind;
mod invalidates;
mod limit;
mod refresh;
mod route;
mod wildcards;

use std::{collections::HashMap, fmt};

use self::invalidates::KnownNames;
use super::{
    plan::{Plan, value},
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

pub(super) fn of(settings: &Settings) -> Vec<Warning> {
    let mut problems = Vec::from_iter(open_namespace(&settings.namespace));
    let (plan, _) = Plan::with_problems(settings);
    problems.extend(unused_names(settings, &plan));
    problems.extend(missing_host(settings));
    problems.extend(unread_ip_header(settings));
    problems.extend(behind::problems_of_section(settings));
    let known = KnownNames::of(settings);
    for (index, route) in settings.routes.iter().enumerate() {
        let mut of_route = route::problems(route);
        of_route.extend(behind::problems(route));
        of_route.extend(known.problems(&route.invalidates));
        let of_route = of_route.into_iter();
        problems.extend(of_route.map(|problem| TableProblem::in_route(index, route, problem)));
    }
    problems.extend(wildcards::problems(&settings.routes));
    problems.extend(refresh::problems(settings, &plan));
    problems.extend(repeated_keys(settings));
    problems.extend(no_buffer(settings));
    problems.extend(bodies_beyond_buffer(settings));
    for (index, limit) in settings.limits.iter().enumerate() {
        let of_limit = limit::problems(limit, &settings.limits[..index]).into_iter();
        problems.extend(of_limit.map(|problem| TableProblem::in_limit(index, limit, problem)));
    }
    problems.into_iter().map(Warning).collect()
}

/// Reports a namespace that runs together with the keys.
fn open_namespace(namespace: &str) -> Option<TableProblem> {
    namespace.ends_with(|last: char| last.is_ascii_alphanumeric()).then(|| {
        let message = format!(
            "it runs together with the keys, as {namespace}engagement:42; write \"{namespace}:\""
        );
        TableProblem::new(Location::Top("namespace"), message)
    })
}

/// Reports names of `[ttl]` and `[version]` that apply to no route and no value: most are misspelt.
fn unused_names(settings: &Settings, plan: &Plan) -> Vec<TableProblem> {
    let of_routes = plan.routes().iter().map(|route| route.entity.to_string());
    let of_values = settings.values.iter();
    let of_values = of_values.filter_map(|value| value::entity(&value.key).ok());
    let entities: Vec<_> = of_routes.chain(of_values).collect();
    let ttls = settings.ttl.entities.keys().map(String::as_str).collect();
    let versions = settings.version.keys().map(String::as_str).collect();
    let sections: [(_, Vec<&str>); 2] = [("ttl", ttls), ("version", versions)];
    let mut problems = Vec::new();
    for (section, names) in sections {
        let is_used = |name: &str| {
            let mut entities = entities.iter();
            entities.any(|entity| nearest_above(entity, &names) == Some(name))
        };
        for name in names.iter().filter(|name| !is_used(name)) {
            let message = format!(
                "no route's key has this entity; correct the name, or if code caches values under it, write [[value]] key = \"{name}:*\""
            );
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

/// Reports a buffer in which no body has room.
fn no_buffer(settings: &Settings) -> Option<TableProblem> {
    (settings.local.fill_buffer == 0).then(|| {
        let location = Location::Section("local", "fill_buffer".to_owned());
        let message =
            "without it no response with a body is stored; write a size such as \"64MiB\"";
        TableProblem::new(location, message)
    })
}

/// Reports routes whose longest bodies have no room in `[local] fill_buffer`.
fn bodies_beyond_buffer(settings: &Settings) -> impl Iterator<Item = TableProblem> {
    let room = settings.local.fill_buffer;
    let routes = settings.routes.iter().enumerate();
    let too_large = routes.filter(move |(_, route)| route.max_body.is_some_and(|max| max > room));
    too_large.map(|(index, route)| {
        let message = "longer bodies than [local] fill_buffer are never stored; write less, or a larger fill_buffer";
        TableProblem::in_route(index, route, ("max_body", message.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use crate::table::{Local, Route, Table};

    #[test]
    fn a_body_that_has_no_room_in_the_buffer_is_reported() {
        let route = |max| Route::new("/a").key("a").max_body(max);
        let table = |max| {
            Table::new()
                .host("*")
                .local(Local::new().fill_buffer(10))
                .route(route(max))
        };
        assert_eq!(table(10).check(), []);
        let warnings = table(11).check();
        let warning = "route \"/a\", max_body: longer bodies than [local] fill_buffer are never stored; write less, or a larger fill_buffer";
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].to_string(), warning);
    }
}
