//! Settings of write-behind.

use crate::table::{
    behind::Behind,
    problem::{FieldProblem, Location, TableProblem},
    route::Route,
    route_options::{PendingMode, Through, Write},
    settings::Settings,
};

/// Checks one route.
pub(super) fn problems(route: &Route) -> Vec<FieldProblem> {
    if route.write != Write::Behind {
        return settings_without_effect(route);
    }
    let mut problems = superfluous_settings(route);
    problems.extend(doubtful_pending(route));
    problems.extend(unknown_answers(&route.invalidates));
    problems
}

/// Reports settings of write-behind on a route without it.
fn settings_without_effect(route: &Route) -> Vec<FieldProblem> {
    let settings = [
        (route.pending != PendingMode::Ignore, "pending"),
        (route.pending_field.is_some(), "pending_field"),
        (route.pending_id.is_some(), "pending_id"),
        (route.coalesce, "coalesce"),
        (!route.keep_fields.is_empty(), "keep_fields"),
    ];
    let message = "it has no effect by itself; write write = \"behind\" as well, or leave it out";
    let set = settings.into_iter().filter(|(is_set, _)| *is_set);
    set.map(|(_, name)| (name, message.to_owned())).collect()
}

/// Reports settings that change nothing about writes that are applied later.
fn superfluous_settings(route: &Route) -> Vec<FieldProblem> {
    let is_list = route.pending.is_list();
    let only_in_list = "only elements of an array have it; write pending = \"prepend\" or \"append\", or leave it out";
    let checks = [
        (
            route.before,
            "before",
            "each attempt to apply the write is declared anyway; leave it out",
        ),
        (
            route.partial_writes,
            "partial_writes",
            "a write that is applied later is accepted only with its whole content; leave it out",
        ),
        (
            route.through == Through::Answer,
            "through",
            "it has no effect on a write that is applied later; leave it out, or write write = \"through\"",
        ),
        (
            route.pending_field.is_some() && !is_list,
            "pending_field",
            only_in_list,
        ),
        (
            route.pending_id.is_some() && !is_list,
            "pending_id",
            only_in_list,
        ),
        (
            route.coalesce && is_list,
            "coalesce",
            "only a waiting PUT can be replaced, and such a list consists of POSTs, which are all applied; leave it out, or write pending = \"body\" for PUT",
        ),
    ];
    let found = checks.into_iter().filter(|(applies, ..)| *applies);
    found
        .map(|(_, field, message)| (field, message.to_owned()))
        .collect()
}

fn doubtful_pending(route: &Route) -> Vec<FieldProblem> {
    let key = route.key.as_deref().unwrap_or_default();
    let needs_query = key.contains("{query.") || key.contains("{#query");
    let checks = [
        (
            route.pending.is_list() && route.pending_id.is_none(),
            "an element may appear twice while its write is applied; write pending_id = \"id\" with the field that tells elements apart",
        ),
        (
            route.pending != PendingMode::Ignore && needs_query,
            "pending writes are shown only to requests without a query, and without one there is no key; leave it out, or take the query out of the key",
        ),
    ];
    let found = checks.into_iter().filter(|(applies, _)| *applies);
    found
        .map(|(_, message)| ("pending", message.to_owned()))
        .collect()
}

/// Reports invalidations whose values are not known when a write is accepted.
fn unknown_answers(invalidates: &[String]) -> Vec<FieldProblem> {
    let needs_answer = |name: &&String| name.contains("{answer.") || name.contains("{#answer.");
    let problem = |name: &String| {
        let message = format!(
            "{name:?} invalidates for every value of the response's field, because a write is accepted before it has a response; use values of the request, or \"*\" if that is intended"
        );
        ("invalidates", message)
    };
    let unknown = invalidates.iter().filter(needs_answer);
    unknown.map(problem).collect()
}

/// Checks `[behind]`.
pub(super) fn problems_of_section(settings: &Settings) -> Vec<TableProblem> {
    let mut problems = unreachable_bounds(&settings.behind);
    problems.extend(hidden_route(settings));
    let problems = problems.into_iter();
    let located = problems.map(|(name, message)| {
        TableProblem::new(Location::Section("behind", name.to_owned()), message)
    });
    located.collect()
}

/// Reports bounds that the longest content exceeds.
fn unreachable_bounds(behind: &Behind) -> Vec<FieldProblem> {
    let checks = [
        (
            behind.max_body > behind.max_bytes,
            "max_body",
            "longer content than max_bytes is never accepted; write less, or a larger max_bytes",
        ),
        (
            behind.max_body > behind.max_dead_bytes,
            "max_dead_bytes",
            "a write as long as max_body cannot be kept as a dead letter; write more, or a smaller max_body",
        ),
    ];
    let found = checks.into_iter().filter(|(applies, ..)| *applies);
    found
        .map(|(_, field, message)| (field, message.to_owned()))
        .collect()
}

/// Reports a route below the status path, where the layer answers.
fn hidden_route(settings: &Settings) -> Option<FieldProblem> {
    let has_queue = |route: &Route| route.write == Write::Behind;
    if !settings.routes.iter().any(has_queue) {
        return None;
    }
    let status_path = &settings.behind.status_path;
    let is_below = |route: &&Route| {
        let below = route.path.strip_prefix(status_path);
        below.is_some_and(|below| below.starts_with('/'))
    };
    let hidden = settings.routes.iter().find(is_below)?;
    let message = format!(
        "the status of writes is on the paths of the route {:?}; write another path, as \"/status{status_path}\"",
        hidden.path
    );
    Some(("status_path", message))
}
