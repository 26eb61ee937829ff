//! A write's own answer in the place of the stored response to a GET.

use http::{StatusCode, header::CONTENT_LENGTH, response};
use serde_json::Value;

use super::{
    answer::{LONGEST, Whole, calls_itself_json},
    write::Write,
};
use crate::{
    engine::head::Head,
    key::{KeyBuf, KeyInputs, url_key},
    semantics::{freshness::Exchange, policy::SharingScope},
    store::{entry::Entry, position::Position},
    table::{RoutePlan, Through},
};

/// A head that a GET could have been answered with.
pub(super) struct Replacement {
    key: KeyBuf,
    head: Head,
    /// In bytes.
    longest: u64,
    is_json: bool,
}

impl Replacement {
    /// `None` if the route does not want it, or the answer is not what a GET would be answered with.
    pub(super) fn of(write: &Write, head: &response::Parts) -> Option<Self> {
        let route = write.route.as_deref();
        let wanted = match route {
            Some(_) => write.through() == Some(Through::Answer),
            None => write.changed.may_answer_get(&write.snapshot),
        };
        // An answer with tags of its own is left to a GET, whose tags are known to be those of the key.
        let has_tags = write.config.keep.engine().has_tags(&head.headers);
        let ambiguous = route.is_none_or(|route| route.key_names_host);
        let ambiguous = ambiguous && write.changed.is_ambiguous();
        if !wanted || head.status != StatusCode::OK || has_tags || ambiguous {
            return None;
        }
        let stored = stored(write, head).filter(|stored| stored.vary.is_empty())?;
        Some(Self {
            key: write.key()?,
            longest: route.map_or(LONGEST, |route| route.max_body),
            is_json: calls_itself_json(&head.headers),
            head: stored,
        })
    }

    /// The longest content that is stored, in bytes.
    pub(super) fn longest(&self) -> u64 {
        self.longest
    }

    /// The entry, but for its position. `None` if the content is not what the head says it is.
    pub(super) fn complete(
        mut self,
        write: &Write,
        whole: Whole,
        fields: Option<&Value>,
    ) -> Option<(KeyBuf, Entry)> {
        let lies =
            self.is_json && serde_json::from_slice::<serde::de::IgnoredAny>(&whole.body).is_err();
        let response = &mut self.head.response;
        let length = response.headers.get(CONTENT_LENGTH);
        let complete = length
            .is_none_or(|length| length.as_bytes() == whole.body.len().to_string().as_bytes());
        if lies || !complete || whole.has_trailers {
            return None;
        }
        let route = write.route.as_deref();
        let tags = match route.filter(|route| route.has_tags()) {
            Some(route) => {
                let matched = write.changed.route(&write.snapshot)?;
                matched.tags(&write.inputs(route), fields)?
            }
            None => Vec::new(),
        };
        response
            .headers
            .insert(CONTENT_LENGTH, whole.body.len().into());
        response.body = whole.body;
        let entity = route.map_or("", |route| &route.entity);
        let user = self.key.user();
        let entry = self
            .head
            .into_entry(Position::UNKNOWN, entity, user, tags.into());
        Some((self.key, entry))
    }
}

impl Write {
    /// The full key under which a GET of the target finds its answer.
    fn key(&self) -> Option<KeyBuf> {
        let mut key = KeyBuf::new();
        let Some(route) = self.route.as_deref() else {
            url_key(&self.changed.inputs(), None, &mut key);
            return Some(key);
        };
        let matched = self.changed.route(&self.snapshot)?;
        let version = self.snapshot.version(route.id);
        matched.key(&self.inputs(route), version, &mut key).ok()?;
        Some(key)
    }

    /// What a GET's key is made of.
    fn inputs(&self, route: &RoutePlan) -> KeyInputs<'_> {
        let inputs = self.changed.inputs();
        let everybodys = route.sharing() == SharingScope::Public && !route.key_names_user;
        KeyInputs {
            user: inputs.user.filter(|_| !everybodys),
            ..inputs
        }
    }
}

/// The head as a GET's answer with it would be stored.
fn stored(write: &Write, head: &response::Parts) -> Option<Head> {
    let now = write.config.keep.engine().clock.now().wall;
    let exchange = Exchange {
        requested: now,
        received: now,
    };
    let request = match write.route {
        Some(_) => write.changed.as_get(&write.snapshot),
        None => write.changed.as_sent(&write.snapshot),
    };
    let route = write.route.as_deref();
    write
        .snapshot
        .storable(&request, head, &exchange, route)
        .ok()
}
