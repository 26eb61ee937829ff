//! A write's own answer in the place of the stored response to a GET.

use bytes::Bytes;
use http::{Method, StatusCode, header::CONTENT_LENGTH, response};
use serde_json::Value;

use super::{
    answer::{LONGEST, Whole, calls_itself_json},
    write::Write,
};
use crate::{
    clock::Timestamp,
    entry::{Content, Entry, LocalState, StoredResponse},
    key::{Inputs, KeyBuf, url_key},
    semantics::{
        fields::Storing,
        freshness::{Exchange, Lifetime},
        policy::{Policy, Scope},
        storable,
        vary::VaryFields,
    },
    store::journal::Position,
    table::{RoutePlan, Through},
};

/// A head that a GET could have been answered with.
pub(super) struct Replacement {
    key: KeyBuf,
    head: StoredResponse,
    stored: Timestamp,
    expires: Timestamp,
    /// In bytes.
    longest: u64,
    is_json: bool,
}

impl Replacement {
    /// `None` if the route does not want it, or the answer is not what a GET would be answered with.
    /// Where no route says, a POST's may be that (RFC 9110 section 9.3.3).
    pub(super) fn of(write: &Write, head: &response::Parts) -> Option<Self> {
        let route = write.route.as_deref();
        let wanted = match route {
            Some(_) => write.through() == Some(Through::Answer),
            None => *write.changed.method() == Method::POST,
        };
        // An answer with tags of its own is left to a GET, whose tags are known to be those of the key.
        let has_tags = write.config.keep.shared().has_tags(&head.headers);
        if !wanted || head.status != StatusCode::OK || has_tags {
            return None;
        }
        let vary = VaryFields::of(&head.headers, route.map_or(&[], |route| &route.vary)).ok()?;
        if !vary.is_empty() {
            return None;
        }
        let now = write.config.keep.shared().clock.now().wall;
        let policy = write.policy();
        let lifetime = lifetime(write, head, now)?;
        let headers = Storing::of(&head.headers, policy.strip).select(&head.headers, now);
        let has_validator = storable::can_be_validated(head.status, &headers);
        Some(Self {
            key: write.key()?,
            stored: now,
            expires: write.snapshot.expiry(&lifetime, now, has_validator),
            longest: route.map_or(LONGEST, |route| route.max_body),
            is_json: calls_itself_json(&head.headers),
            head: StoredResponse {
                status: head.status,
                headers,
                body: Bytes::new(),
                trailers: None,
                lifetime,
                part: None,
                cost: std::time::Duration::ZERO,
            },
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
        let length = self.head.headers.get(CONTENT_LENGTH);
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
        self.head
            .headers
            .insert(CONTENT_LENGTH, whole.body.len().into());
        self.head.body = whole.body;
        let entry = Entry {
            content: Content::Response(self.head),
            position: Position::UNKNOWN,
            stored: self.stored,
            expires: self.expires,
            entity: route.map_or("", |route| &route.entity).into(),
            user: self.key.user().map(Into::into),
            tags: tags.into(),
            local: LocalState::default(),
        };
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

    /// What the table says about the answers.
    fn policy(&self) -> Policy<'_> {
        let max = self.snapshot.plan.max_ttl;
        match &self.route {
            Some(route) => route.policy(max),
            None => Policy {
                max,
                ..Policy::STANDARD
            },
        }
    }

    /// What a GET's key is made of.
    fn inputs(&self, route: &RoutePlan) -> Inputs<'_> {
        let inputs = self.changed.inputs();
        let everybodys = route.sharing() == Scope::Public && !route.key_names_user;
        Inputs {
            user: inputs.user.filter(|_| !everybodys),
            ..inputs
        }
    }
}

/// How long a GET's answer with this head would be kept.
fn lifetime(write: &Write, head: &response::Parts, now: Timestamp) -> Option<Lifetime> {
    let exchange = Exchange {
        requested: now,
        received: now,
    };
    let policy = write.policy();
    let request = match write.route {
        Some(_) => write.changed.as_get(),
        None => write.changed.as_sent(),
    };
    let lifetime =
        storable::decide(&request, head.status, &head.headers, &exchange, &policy).ok()?;
    Some(write.snapshot.jittered(lifetime))
}
