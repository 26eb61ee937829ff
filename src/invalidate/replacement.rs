//! Write-through by `through = "answer"`: stores a write's own response as the response to a GET.

use http::{StatusCode, header::CONTENT_LENGTH, response};
use serde_json::Value;

use super::{
    content::{self, ResponseContent, is_json},
    write_request::WriteRequest,
};
use crate::{
    engine::head::StoredHead,
    key::{KeyBuf, KeyInputs, url_key},
    semantics::{freshness::Exchange, storage_policy::SharingScope},
    store::{entry::Entry, position::Position},
    table::{RoutePlan, Through},
};

/// The head of a write's response that could be the response to a GET, and the key of that GET.
pub(super) struct Replacement {
    key: KeyBuf,
    head: StoredHead,
    /// The longest content that is stored, in bytes.
    pub(super) max_length: u64,
    is_json: bool,
}

impl Replacement {
    /// `None` if the route does not store the write's response, or it could not be the response to
    /// a GET.
    pub(super) fn of(write: &WriteRequest, head: &response::Parts) -> Option<Self> {
        let route = write.route.as_deref();
        let wanted = match route {
            Some(_) => write.through() == Some(Through::Answer),
            None => write.changed.may_answer_get(&write.snapshot),
        };
        // A write's response may have other tags than a GET's.
        let has_tags = write.engine().tag_fields.any_in(&head.headers);
        let ambiguous = route.is_none_or(|route| route.key_names_host);
        let ambiguous = ambiguous && write.changed.is_ambiguous();
        if !wanted || head.status != StatusCode::OK || has_tags || ambiguous {
            return None;
        }
        let storable = storable_head(write, head).filter(|head| head.vary.is_empty())?;
        Some(Self {
            key: get_key(write)?,
            max_length: route.map_or(content::MAX_LENGTH, |route| route.max_body),
            is_json: is_json(&head.headers),
            head: storable,
        })
    }

    /// The key and the entry, without a position. `None` if the content contradicts the head.
    pub(super) fn complete(
        mut self,
        write: &WriteRequest,
        content: ResponseContent,
        fields: Option<&Value>,
    ) -> Option<(KeyBuf, Entry)> {
        let malformed =
            self.is_json && serde_json::from_slice::<serde::de::IgnoredAny>(&content.body).is_err();
        let response = &mut self.head.response;
        let length = response.headers.get(CONTENT_LENGTH);
        let complete = length
            .is_none_or(|length| length.as_bytes() == content.body.len().to_string().as_bytes());
        if malformed || !complete || content.has_trailers {
            return None;
        }
        let route = write.route.as_deref();
        let tags = match route.filter(|route| route.has_tags()) {
            Some(route) => {
                let matched = write.changed.route(&write.snapshot)?;
                matched.tags(&get_inputs(write, route), fields).ok()?
            }
            None => Vec::new(),
        };
        response
            .headers
            .insert(CONTENT_LENGTH, content.body.len().into());
        response.body = content.body;
        let entity = route.map_or("", |route| &route.entity);
        let user = self.key.user();
        let entry = self
            .head
            .into_entry(Position::UNKNOWN, entity, user, tags.into());
        Some((self.key, entry))
    }
}

/// The full key under which a GET of the target looks up its response.
fn get_key(write: &WriteRequest) -> Option<KeyBuf> {
    let mut key = KeyBuf::new();
    let Some(route) = write.route.as_deref() else {
        url_key(&write.changed.inputs(), &mut key);
        return Some(key);
    };
    let matched = write.changed.route(&write.snapshot)?;
    let version = write.snapshot.version(route.id);
    let inputs = get_inputs(write, route);
    matched.key(&inputs, version, &mut key).ok()?;
    Some(key)
}

/// The inputs of the GET's key.
fn get_inputs<'a>(write: &'a WriteRequest, route: &RoutePlan) -> KeyInputs<'a> {
    let inputs = write.changed.inputs();
    let shared = route.sharing() == SharingScope::Public && !route.key_names_user;
    KeyInputs {
        user: inputs.user.filter(|_| !shared),
        ..inputs
    }
}

/// The head in the form in which it is stored as the response to a GET.
fn storable_head(write: &WriteRequest, head: &response::Parts) -> Option<StoredHead> {
    let now = write.engine().clock.now().wall;
    let exchange = Exchange {
        requested: now,
        received: now,
    };
    let request = match write.route {
        Some(_) => write.changed.as_get(&write.snapshot),
        None => write.changed.as_sent(&write.snapshot),
    };
    let route = write.route.as_deref();
    let policy = write.snapshot.policy(route, None);
    let vary = route.map_or(&[][..], |route| &route.vary);
    let storable = write
        .snapshot
        .storable(&request, head, &exchange, &policy, vary);
    storable.ok()
}
