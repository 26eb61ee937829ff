//! The tags of a stored response: from the route, and from the response's own fields.

use http::{HeaderMap, HeaderName, response};
use serde_json::Value;

use super::{ask::Asked, fetch::Original};
use crate::{
    key::Inputs,
    origin::Target,
    semantics::{cache_groups, list},
};

/// Fields whose members are tags: `Cache-Tag`, `Surrogate-Key`, and `Cache-Groups` (RFC 9875).
const TAG_FIELDS: [(HeaderName, Syntax); 3] = [
    (HeaderName::from_static("cache-tag"), Syntax::Commas),
    (HeaderName::from_static("surrogate-key"), Syntax::Spaces),
    (HeaderName::from_static("cache-groups"), Syntax::Strings),
];

/// More tags than this, or longer ones, are a sign of a mistake; the response is not stored.
const MOST: usize = 128;
const LONGEST: usize = 256;

#[derive(Clone, Copy)]
enum Syntax {
    Commas,
    Spaces,
    /// A structured-field list of strings (RFC 9651).
    Strings,
}

/// The tags known from the head; `None` if one cannot be told, so that it must not be stored.
pub(super) fn of(
    asked: &Asked,
    original: &Original,
    head: &response::Parts,
) -> Option<Box<[Box<str>]>> {
    let mut tags = match &asked.route {
        Some(route) if route.has_tags() && !route.tags_need_answer() => {
            of_route(asked, original, None)?
        }
        _ => Vec::new(),
    };
    let target = Target::new(&original.uri, &original.headers);
    // What a route keeps, it keeps for every host that reaches it.
    let host = target.host.filter(|_| asked.route.is_none());
    for (name, syntax) in &TAG_FIELDS {
        if head.headers.contains_key(name) {
            collect(&head.headers, name, *syntax, host, &mut tags)?;
        }
    }
    tags.sort_unstable();
    tags.dedup();
    (tags.len() <= MOST).then(|| tags.into())
}

/// The route's tags, with the fields of a JSON answer where it names some.
pub(super) fn of_route(
    asked: &Asked,
    original: &Original,
    answer: Option<&Value>,
) -> Option<Vec<Box<str>>> {
    let target = Target::new(&original.uri, &original.headers);
    let matched = asked.snapshot.plan.route(target.path, target.host)?;
    let inputs = Inputs {
        host: target.host,
        path: target.path,
        query: target.query,
        headers: &original.headers,
        user: asked.user.as_deref(),
        body: None,
    };
    matched.tags(&inputs, answer)
}

fn collect(
    headers: &HeaderMap,
    name: &HeaderName,
    syntax: Syntax,
    host: Option<&str>,
    tags: &mut Vec<Box<str>>,
) -> Option<()> {
    match syntax {
        Syntax::Strings => {
            for group in cache_groups::members(headers, name)? {
                tags.push(cache_groups::tag(&group, host));
                tags.push(tag(group.as_bytes())?);
            }
        }
        Syntax::Commas => {
            for member in list::members(headers, name) {
                tags.push(tag(member)?);
            }
        }
        Syntax::Spaces => {
            for line in headers.get_all(name) {
                for member in line.as_bytes().split(u8::is_ascii_whitespace) {
                    if !member.is_empty() {
                        tags.push(tag(member)?);
                    }
                }
            }
        }
    }
    Some(())
}

fn tag(member: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(member).ok()?;
    (text.len() <= LONGEST).then(|| text.into())
}
