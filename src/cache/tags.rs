//! The tags of a stored response: from the route, and from the response's own fields.

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::{cache_request::CacheRequest, origin_response::OriginHead};
use crate::{
    engine::core::Engine,
    key::KeyInputs,
    message::client_request::ClientRequest,
    semantics::{
        cache_groups::{self, CACHE_GROUPS, SURROGATE_KEY},
        list,
    },
    table::MissingValue,
};

/// A response with more tags is not stored.
const MAX_TAGS: usize = 128;
/// A response with a longer tag in a field, in bytes, is not stored.
const MAX_TAG_LENGTH: usize = 256;

/// The tags known from the head: the route's, unless they need the content, and those in
/// `tag_fields`.
///
/// `None` if a tag is missing, malformed or too long, or there are too many: the response must not be
/// stored.
pub(super) fn of_head(
    engine: &Engine,
    request: &CacheRequest,
    head: &OriginHead,
) -> Option<Box<[Box<str>]>> {
    let mut tags = match &request.route {
        Some(route) if route.has_tags() && !route.tags_need_answer() => {
            of_route(engine, request, &head.original, None)?
        }
        _ => Vec::new(),
    };
    let target = head.original.target();
    // Groups of a listed route are not bound to a host.
    let host = target.host.filter(|_| request.route.is_none());
    for name in head.tag_fields.keys() {
        collect(&head.tag_fields, name, host, &mut tags)?;
    }
    distinct(tags)
}

/// Sorts the tags and removes repeated ones; `None` if too many are left.
pub(super) fn distinct(mut tags: Vec<Box<str>>) -> Option<Box<[Box<str>]>> {
    tags.sort_unstable();
    tags.dedup();
    (tags.len() <= MAX_TAGS).then(|| tags.into())
}

/// The tags of the route, some of which may name fields of the response's JSON content.
///
/// `None` if a value is missing, which is logged once for each route.
pub(super) fn of_route(
    engine: &Engine,
    request: &CacheRequest,
    original: &ClientRequest,
    content: Option<&Value>,
) -> Option<Vec<Box<str>>> {
    let target = original.target();
    let matched = request.snapshot.plan.route(target.path, target.host)?;
    let inputs = KeyInputs {
        scheme: target.scheme,
        host: target.host,
        path: target.path,
        query: target.query,
        headers: &original.headers,
        user: request.user.as_deref(),
        body: None,
    };
    let tags = matched.tags(&inputs, content);
    tags.map_err(|missing| report_missing(engine, &matched.plan().path, &missing))
        .ok()
}

fn report_missing(engine: &Engine, path: &str, missing: &MissingValue<'_>) {
    if engine.untagged_routes.insert(path) {
        tracing::warn!(
            route = path,
            "a response is not stored, because its tags need {missing}, and it has none; a field of the response is at the top level of a JSON object, as a string, number or boolean: correct the route's `tags` or the response"
        );
    }
}

fn collect(
    headers: &HeaderMap,
    name: &HeaderName,
    host: Option<&str>,
    tags: &mut Vec<Box<str>>,
) -> Option<()> {
    match name {
        name if *name == CACHE_GROUPS => {
            for group in cache_groups::members(headers, name)? {
                // Twice: bound to its host, for `Cache-Group-Invalidation`, and as a plain tag.
                tags.push(cache_groups::tag(&group, host));
                tags.push(tag(group.as_bytes())?);
            }
        }
        name if *name == SURROGATE_KEY => {
            for line in headers.get_all(name) {
                let members = line.as_bytes().split(u8::is_ascii_whitespace);
                for member in members.filter(|member| !member.is_empty()) {
                    tags.push(tag(member)?);
                }
            }
        }
        _ => {
            for member in list::members(headers, name) {
                tags.push(tag(member)?);
            }
        }
    }
    Some(())
}

fn tag(member: &[u8]) -> Option<Box<str>> {
    let text = std::str::from_utf8(member).ok()?;
    (text.len() <= MAX_TAG_LENGTH).then(|| text.into())
}
