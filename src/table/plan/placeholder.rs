//! Parses placeholders.

use super::{path::PathParam, value_source::ValueSource};
use crate::table::nearest::nearest;

/// Where a template is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TemplatePurpose {
    Key,
    Tag,
    Invalidates,
}

/// Parses the inside of a placeholder's braces: where the value comes from, and whether it is
/// hashed.
pub(super) fn parse(
    name: &str,
    template: &str,
    params: &[PathParam],
    purpose: TemplatePurpose,
) -> Result<(ValueSource, bool), String> {
    let plain = name.strip_prefix('#').unwrap_or(name);
    let hashed = plain.len() < name.len();
    let source = value_source(plain, hashed, template, params, purpose)?;
    if purpose == TemplatePurpose::Key && matches!(source, ValueSource::Answer(_)) {
        return Err(format!(
            "{{{name}}} in {template:?}: a field of the response cannot be part of a key, because the key is needed before the response; use it in tags or invalidates"
        ));
    }
    if purpose != TemplatePurpose::Key && source == ValueSource::Body {
        return Err(body_outside_key(name, template));
    }
    Ok((source, hashed))
}

fn value_source(
    name: &str,
    hashed: bool,
    template: &str,
    params: &[PathParam],
    purpose: TemplatePurpose,
) -> Result<ValueSource, String> {
    let of_path = params.iter().position(|param| param.name == name);
    let own = match name {
        "host" => Some(ValueSource::Host),
        "user" => Some(ValueSource::User),
        "query" if hashed => Some(ValueSource::WholeQuery),
        "body" if hashed => Some(ValueSource::Body),
        _ => None,
    };
    match (own, of_path) {
        (Some(_), Some(_)) => Err(format!(
            "{{{name}}} in {template:?} means the request's {name}, but the path has a parameter of that name too; rename the parameter"
        )),
        (Some(source), None) => Ok(source),
        (None, Some(index)) => Ok(ValueSource::Path {
            number: index,
            catch_all: params[index].catch_all,
        }),
        (None, None) => dotted_source(name, template, params, purpose),
    }
}

fn dotted_source(
    name: &str,
    template: &str,
    params: &[PathParam],
    purpose: TemplatePurpose,
) -> Result<ValueSource, String> {
    match name.split_once('.') {
        Some(("query", parameter)) if !parameter.is_empty() => {
            Ok(ValueSource::Query(parameter.into()))
        }
        Some(("answer", field)) if !field.is_empty() => Ok(ValueSource::Answer(field.into())),
        Some(("header", field)) => field.parse().map(ValueSource::Header).map_err(|_| {
            format!(
                "{field:?} in {template:?} is not a field name; write one, for example {{header.accept-language}}"
            )
        }),
        _ if matches!(name, "query" | "body") => Err(unhashed(name, template, purpose)),
        _ => Err(unknown_parameter(name, template, params)),
    }
}

fn unhashed(name: &str, template: &str, purpose: TemplatePurpose) -> String {
    let place = match purpose {
        TemplatePurpose::Key => "a key",
        _ if name == "body" => return body_outside_key(name, template),
        TemplatePurpose::Tag => "a tag",
        TemplatePurpose::Invalidates => "the name of a key or tag",
    };
    format!("{{{name}}} in {template:?} is too long for {place}; write \"{{#{name}}}\", its hash")
}

fn body_outside_key(name: &str, template: &str) -> String {
    format!("{{{name}}} in {template:?}: only a key may contain a hash of the body; leave it out")
}

fn unknown_parameter(name: &str, template: &str, params: &[PathParam]) -> String {
    let names = || params.iter().map(|param| param.name.as_str());
    let remedy = match nearest(name, names()) {
        Some(meant) => format!("did you mean {{{meant}}}?"),
        None if params.is_empty() => {
            "add it to the path, or write {query.NAME}, {header.NAME}, {host} or {user}".to_owned()
        }
        None => format!(
            "it has {}",
            names()
                .map(|n| format!("{{{n}}}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    };
    format!("{{{name}}} in {template:?} is not a parameter of the path; {remedy}")
}
