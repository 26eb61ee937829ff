//! Templates of keys, tags and invalidations.

use http::HeaderName;

use super::path::Param;
use crate::{key::is_literal, table::nearest::nearest};

/// Text and placeholders, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(super) pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    Value {
        source: Source,
        /// `{#name}`: the value is long, or secret.
        hashed: bool,
    },
}

/// Where a placeholder's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The path's parameter of that number.
    Path {
        number: usize,
        catch_all: bool,
    },
    /// `{query.NAME}`
    Query(Box<str>),
    /// `{header.NAME}`
    Header(HeaderName),
    Host,
    User,
    /// `{#query}`
    WholeQuery,
    /// `{#body}`
    Body,
    /// `{answer.FIELD}`
    Answer(Box<str>),
}

/// What a template is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Key,
    Tag,
    Invalidates,
}

impl Template {
    pub(crate) fn parse(text: &str, params: &[Param], purpose: Purpose) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a template is empty; write \"engagement:{id}\"".to_owned());
        }
        if text.len() > LONGEST {
            return Err(format!(
                "a template of {} bytes is longer than {LONGEST}; shorten it",
                text.len()
            ));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, brace) = rest.split_at(at);
            push_text(literal, text, purpose, &mut pieces)?;
            let (name, after) = brace
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
                .ok_or_else(|| format!("{text:?} has a lone brace; write \"{{name}}\""))?;
            pieces.push(placeholder(name, text, params, purpose)?);
            rest = after;
        }
        push_text(rest, text, purpose, &mut pieces)?;
        Ok(Self {
            pieces: pieces.into_boxed_slice(),
        })
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value { source, .. } => Some(source),
            Piece::Text(_) => None,
        })
    }

    /// Whether the value may be needed of `source`.
    pub(crate) fn names(&self, source: &Source) -> bool {
        self.sources().any(|s| s == source)
    }

    pub(crate) fn needs_answer(&self) -> bool {
        self.sources().any(|s| matches!(s, Source::Answer(_)))
    }
}

/// The literal segments of a key's template, joined: its entity.
pub(crate) fn entity(template: &str) -> Result<String, String> {
    let segments: Vec<&str> = template.split(':').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(format!(
            "{template:?} has an empty segment; write one `:` between two segments"
        ));
    }
    let is_placed = |segment: &&str| segment.contains('{');
    if segments.first().is_none_or(is_placed) {
        return Err(format!(
            "{template:?} begins with no entity; write \"entity:{template}\""
        ));
    }
    if segments.first() == Some(&"url") {
        return Err("keys that begin with `url` are those of paths that no route names; write another entity".to_owned());
    }
    let literal: Vec<&str> = segments.into_iter().filter(|s| !is_placed(s)).collect();
    Ok(literal.join(":"))
}

fn push_text(
    literal: &str,
    template: &str,
    purpose: Purpose,
    pieces: &mut Vec<Piece>,
) -> Result<(), String> {
    let allowed = |c: char| match purpose {
        Purpose::Key => u8::try_from(c).is_ok_and(is_literal),
        Purpose::Tag => c.is_ascii_graphic() && !matches!(c, '*' | ','),
        Purpose::Invalidates => c == '*' || u8::try_from(c).is_ok_and(is_literal),
    };
    if let Some(c) = literal.chars().find(|&c| !allowed(c)) {
        return Err(format!(
            "{c:?} in {template:?} stands for something else; write letters, digits, `-`, `.`, `_` and `:`"
        ));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    Ok(())
}

fn placeholder(
    name: &str,
    template: &str,
    params: &[Param],
    purpose: Purpose,
) -> Result<Piece, String> {
    let plain = name.strip_prefix('#').unwrap_or(name);
    let hashed = plain.len() < name.len();
    let source = source(plain, hashed, template, params)?;
    if purpose == Purpose::Key && matches!(source, Source::Answer(_)) {
        return Err(format!(
            "{{{name}}} in {template:?}: an answer's field cannot be part of a key, which is needed before; use it in tags or invalidates"
        ));
    }
    if purpose != Purpose::Key && source == Source::Body {
        return Err(format!(
            "{{{name}}} in {template:?}: only a key may hold a hash of the body"
        ));
    }
    Ok(Piece::Value { source, hashed })
}

fn source(name: &str, hashed: bool, template: &str, params: &[Param]) -> Result<Source, String> {
    let of_path = params.iter().position(|param| param.name == name);
    let own = match name {
        "host" => Some(Source::Host),
        "user" => Some(Source::User),
        "query" if hashed => Some(Source::WholeQuery),
        "body" if hashed => Some(Source::Body),
        _ => None,
    };
    match (own, of_path) {
        (Some(_), Some(_)) => Err(format!(
            "{{{name}}} in {template:?} means the request's {name}, and the path has a parameter of that name; name the parameter otherwise"
        )),
        (Some(source), None) => Ok(source),
        (None, Some(index)) => Ok(Source::Path {
            number: index,
            catch_all: params[index].catch_all,
        }),
        (None, None) => dotted(name, template, params),
    }
}

fn dotted(name: &str, template: &str, params: &[Param]) -> Result<Source, String> {
    match name.split_once('.') {
        Some(("query", parameter)) if !parameter.is_empty() => Ok(Source::Query(parameter.into())),
        Some(("answer", field)) if !field.is_empty() => Ok(Source::Answer(field.into())),
        Some(("header", field)) => field.parse().map(Source::Header).map_err(|_| {
            format!(
                "{field:?} in {template:?} is no field name; write \"{{header.accept-language}}\""
            )
        }),
        _ if matches!(name, "query" | "body") => Err(format!(
            "{{{name}}} in {template:?} is too long for a key; write \"{{#{name}}}\", its hash"
        )),
        _ => Err(no_parameter(name, template, params)),
    }
}

fn no_parameter(name: &str, template: &str, params: &[Param]) -> String {
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
    format!("{{{name}}} in {template:?} is no parameter of the path; {remedy}")
}

/// The longest template, in bytes.
const LONGEST: usize = 1024;
