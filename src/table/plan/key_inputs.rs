use super::{path::PathParam, template::Template, value_source::ValueSource};
use crate::{
    key::query::QueryFilter,
    table::{nearest::nearest, problem::FieldProblem, route::Route},
};

/// Rejects a key that leaves out a parameter of the path, unless `ignore_path` names it, and one with
/// a query parameter that the route leaves out. Different requests would share a response.
pub(super) fn check(
    route: &Route,
    params: &[PathParam],
    key: Option<&Template>,
    query: &QueryFilter,
) -> Result<(), FieldProblem> {
    let Some(key) = key else {
        return match route.ignore_path.first() {
            None => Ok(()),
            Some(_) => Err((
                "ignore_path",
                "without `key`, the whole path distinguishes responses; write a key, or leave it out"
                    .to_owned(),
            )),
        };
    };
    check_ignored(route, params, key).map_err(|message| ("ignore_path", message))?;
    check_path(route, params, key).map_err(|message| ("key", message))?;
    check_query(route, key, query).map_err(|message| ("key", message))
}

fn check_ignored(route: &Route, params: &[PathParam], key: &Template) -> Result<(), String> {
    for name in &route.ignore_path {
        let Some(number) = params.iter().position(|param| param.name == *name) else {
            let names = params.iter().map(|param| param.name.as_str());
            let remedy = match nearest(name, names) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "name parameters of the path, or leave it out".to_owned(),
            };
            return Err(format!("{name:?} is not a parameter of the path; {remedy}"));
        };
        if key.contains(&source(number, &params[number])) {
            return Err(format!(
                "{{{name}}} is in the key; take it out of one of the two"
            ));
        }
    }
    Ok(())
}

fn check_path(route: &Route, params: &[PathParam], key: &Template) -> Result<(), String> {
    let mut numbered = params.iter().enumerate();
    let lacking = numbered.find(|(number, param)| {
        !key.contains(&source(*number, param)) && !route.ignore_path.contains(&param.name)
    });
    match lacking {
        None => Ok(()),
        Some((_, PathParam { name, .. })) => Err(format!(
            "it lacks {{{name}}}, so paths that differ only in it would share a response; add {{{name}}}, or write ignore_path = [\"{name}\"]"
        )),
    }
}

fn check_query(route: &Route, key: &Template, query: &QueryFilter) -> Result<(), String> {
    let left_out = key.sources().find_map(|source| match source {
        ValueSource::Query(name) if !query.keeps(name) => Some(name),
        _ => None,
    });
    match left_out {
        None => Ok(()),
        Some(name) if route.query.is_some() => Err(format!(
            "it contains {{query.{name}}}, which `query` leaves out; add \"{name}\" to `query`"
        )),
        Some(name) => Err(format!(
            "it contains {{query.{name}}}, which `ignore_query` leaves out; take it out of one of the two"
        )),
    }
}

fn source(number: usize, param: &PathParam) -> ValueSource {
    ValueSource::Path {
        number,
        catch_all: param.catch_all,
    }
}
