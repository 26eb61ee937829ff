//! Finds more patterns in `invalidates` than are matched exactly at the same time.

use std::collections::HashSet;

use crate::{
    key::{glob::MAX_GLOBS, pattern, purge::PurgeTarget},
    table::{problem::TableProblem, route::Route},
};

/// Reports the patterns beyond the first [`MAX_GLOBS`], and each that placeholders make into any number
/// of patterns.
pub(super) fn problems(routes: &[Route]) -> Vec<TableProblem> {
    let mut known = HashSet::new();
    let mut problems = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        for name in route.invalidates.iter().filter(|name| is_glob(name)) {
            let many = if name.contains('{') {
                "each value of its placeholders makes a pattern of its own"
            } else if known.insert(name.as_str()) && known.len() > MAX_GLOBS {
                "the table has too many such patterns"
            } else {
                continue;
            };
            let start = name.split(['*', '?', '[']).next().unwrap_or_default();
            let message = format!(
                "only the latest {MAX_GLOBS} patterns with a wildcard before their end are matched exactly, and {many}: older ones are widened, {name:?} to \"{start}*\"; write that, or name keys so that the `*` comes last"
            );
            problems.push(TableProblem::in_route(
                index,
                route,
                ("invalidates", message),
            ));
        }
    }
    problems
}

/// Whether a wildcard stands before the end of the name, whatever the values of its placeholders are.
fn is_glob(name: &str) -> bool {
    let mut literal = String::new();
    let mut rest = name;
    while let Some((before, inside)) = rest.split_once('{') {
        literal.push_str(before);
        literal.push('0');
        rest = inside.split_once('}').map_or("", |(_, after)| after);
    }
    literal.push_str(rest);
    matches!(pattern::target(&literal), PurgeTarget::Glob(_))
}
