//! The tags of a stored response: from the route, and from the response's own fields.

use http::{HeaderMap, HeaderName};
use serde_json::Value;

use super::asked::Asked;
use crate::{
    key::KeyInputs,
    message::client_request::ClientRequest,
    semantics::{
        cache_groups::{self, CACHE_GROUPS, CACHE_TAG, SURROGATE_KEY},
        list,
    },
};

/// Fields whose members are tags: `Cache-Tag`, `Surrogate-Key`, and `Cache-Groups` (RFC 9875), if
/// no others are named.
#[derive(Clone, Debug)]
pub(super) struct TagFields {
    names: Box<[HeaderName]>,
    /// They end here.
    strip: bool,
}

impl TagFields {
    pub(super) fn name(&mut self, names: impl IntoIterator<Item = HeaderName>) {
        self.names = names.into_iter().collect();
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.names.iter()
    }

    pub(super) fn strip(&mut self, yes: bool) {
        self.strip = yes;
    }

    /// The fields of an answer that hold tags; they are taken off it if they are not to go out.
    pub(super) fn take(&self, headers: &mut HeaderMap) -> HeaderMap {
        let mut taken = HeaderMap::new();
        for name in &self.names {
            for value in headers.get_all(name) {
                taken.append(name.clone(), value.clone());
            }
        }
        if self.strip {
            self.strip_off(headers);
        }
        taken
    }

    /// For an answer whose tags nobody needs.
    pub(super) fn pass(&self, headers: &mut HeaderMap) {
        if self.strip {
            self.strip_off(headers);
        }
    }

    fn strip_off(&self, headers: &mut HeaderMap) {
        for name in &self.names {
            headers.remove(name);
        }
    }
}

impl Default for TagFields {
    fn default() -> Self {
        Self {
            names: [CACHE_TAG, SURROGATE_KEY, CACHE_GROUPS].into(),
            strip: false,
        }
    }
}

/// More tags than this, or longer ones, are a sign of a mistake; the response is not stored.
const MOST: usize = 128;
const LONGEST: usize = 256;

/// The tags known from the head, of which `fields` hold some; `None` if one cannot be told, so that it must not be stored.
pub(super) fn of(
    asked: &Asked,
    original: &ClientRequest,
    fields: &HeaderMap,
) -> Option<Box<[Box<str>]>> {
    let mut tags = match &asked.route {
        Some(route) if route.has_tags() && !route.tags_need_answer() => {
            of_route(asked, original, None)?
        }
        _ => Vec::new(),
    };
    let target = original.target();
    // What a route keeps, it keeps for every host that reaches it.
    let host = target.host.filter(|_| asked.route.is_none());
    for name in fields.keys() {
        collect(fields, name, host, &mut tags)?;
    }
    tags.sort_unstable();
    tags.dedup();
    (tags.len() <= MOST).then(|| tags.into())
}

/// The route's tags, with the fields of a JSON answer where it names some.
pub(super) fn of_route(
    asked: &Asked,
    original: &ClientRequest,
    answer: Option<&Value>,
) -> Option<Vec<Box<str>>> {
    let target = original.target();
    let matched = asked.snapshot.plan.route(target.path, target.host)?;
    let inputs = KeyInputs {
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
    host: Option<&str>,
    tags: &mut Vec<Box<str>>,
) -> Option<()> {
    match name {
        name if *name == CACHE_GROUPS => {
            for group in cache_groups::members(headers, name)? {
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
    (text.len() <= LONGEST).then(|| text.into())
}
