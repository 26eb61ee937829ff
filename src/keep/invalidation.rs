//! What can be invalidated.

use std::fmt;

use crate::{
    error::Error,
    key::{
        Key,
        encode::{self, KeyBytes},
        glob::matches_glob,
        pattern::target_of_pattern,
        purge::{Purge, PurgeTarget},
    },
};

/// Which stored responses and values become unusable: those of a key, of all keys that match a
/// pattern, of a tag, an entity, a user, or all.
///
/// Each covers all variations of the keys it names: every user's, every query's, every `Vary`.
///
/// ```
/// use tower_keep::{Key, keep::Invalidation};
///
/// let one = Invalidation::key(&Key::new("engagement").id(42));
/// let below = Invalidation::pattern("engagement:42:*")?;
/// assert!(one.names(&Key::raw("engagement:42")?));
/// assert!(below.names(&Key::raw("engagement:42:tasks")?));
/// assert!(!below.names(&Key::raw("engagement:421")?));
/// # Ok::<(), tower_keep::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Invalidation(Purge);

impl Invalidation {
    /// What is stored under `key`.
    #[must_use]
    pub fn key(key: &Key) -> Self {
        Self::of(PurgeTarget::Key(key.as_str().into()))
    }

    /// What is stored under the keys that a Redis glob matches.
    ///
    /// `engagement:42:*` and `engagement:42*` are prefixes and cost the same however much they
    /// name; the second also names `engagement:421`. A wildcard before the end, as in
    /// `dashboard:*:engagement_list`, is compared with every key that is looked up: of those, 64
    /// are kept apart, and the oldest widen to what stands before their first wildcard.
    ///
    /// # Errors
    ///
    /// If it is empty, longer than 1024 bytes, or holds a control character.
    pub fn pattern(pattern: &str) -> Result<Self, Error> {
        target_of_pattern(pattern).map(Self::of)
    }

    /// What is stored under the keys that begin with `text`, in which nothing is a wildcard. An
    /// empty one is [`everything`](Self::everything).
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        // A key that was too long keeps this much of its beginning.
        let kept = beginning(text, encode::KEY_MAX / 2);
        if kept.is_empty() {
            return Self::everything();
        }
        Self::of(PurgeTarget::Prefix(kept.into()))
    }

    /// What carries `tag`: from a route's `tags`, [`ValueEntry::tag`](super::ValueEntry::tag), or a
    /// response's own field.
    ///
    /// A value that a route's template puts in stands there as in a key:
    /// `Key::new("org").id(id).as_str()` is the tag that `org:{answer.org_id}` makes.
    #[must_use]
    pub fn tag(tag: impl Into<Box<str>>) -> Self {
        Self::of(PurgeTarget::Tag(tag.into()))
    }

    /// What the keys of `entity`, and of the entities below it, hold: `agent` is above
    /// `agent:status`.
    #[must_use]
    pub fn entity(entity: impl Into<Box<str>>) -> Self {
        Self::of(PurgeTarget::Entity(entity.into()))
    }

    /// What was stored for one user alone (`scope = "user"`), whose name is `user` as in
    /// [`UserId`](crate::UserId).
    #[must_use]
    pub fn user(user: &str) -> Self {
        let mut encoded = KeyBytes::new();
        encode::push_value(user.as_bytes(), &mut encoded);
        Self::of(PurgeTarget::User(encode::text(&encoded).into()))
    }

    /// All that is stored.
    #[must_use]
    pub fn everything() -> Self {
        Self::of(PurgeTarget::Everything)
    }

    /// Makes what it names stale instead of unusable: it is validated before it is used again, and
    /// may serve instead of an error (`stale_if_error`, RFC 5861 section 4).
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.0.soft = true;
        self
    }

    /// Whether what it names becomes stale rather than unusable.
    #[must_use]
    pub fn is_soft(&self) -> bool {
        self.0.soft
    }

    /// Whether it names `key` by itself: as a key, a pattern, an entity or everything.
    ///
    /// Not as a tag or a user: what carries a tag is known to who stored it; see
    /// [`as_tag`](Self::as_tag).
    #[must_use]
    pub fn names(&self, key: &Key) -> bool {
        let key = key.as_str();
        match &self.0.target {
            PurgeTarget::Key(name) => **name == *key,
            PurgeTarget::Prefix(name) => key.starts_with(&**name),
            PurgeTarget::Glob(glob) => matches_glob(glob, key),
            PurgeTarget::Entity(entity) | PurgeTarget::Version(entity) => stands_in(entity, key),
            PurgeTarget::Everything => true,
            PurgeTarget::Tag(_) | PurgeTarget::User(_) => false,
        }
    }

    /// The tag, if it is one.
    #[must_use]
    pub fn as_tag(&self) -> Option<&str> {
        match &self.0.target {
            PurgeTarget::Tag(tag) => Some(tag),
            _ => None,
        }
    }

    /// The user as encoded in keys, if it is one.
    #[must_use]
    pub fn as_user(&self) -> Option<&str> {
        match &self.0.target {
            PurgeTarget::User(user) => Some(user),
            _ => None,
        }
    }

    /// Whether it is [`everything`](Self::everything).
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.target == PurgeTarget::Everything
    }

    pub(super) fn of_purge(purge: &Purge) -> Self {
        Self(purge.clone())
    }

    pub(super) fn into_parts(self) -> (PurgeTarget, bool) {
        (self.0.target, self.0.soft)
    }

    fn of(subject: PurgeTarget) -> Self {
        Self(Purge::hard(subject))
    }
}

impl fmt::Display for Invalidation {
    /// As the journal writes it: `k:engagement:42`, `p:engagement:`, `t:org:7`, `*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether the entity's segments stand in the key in their order, from the first on.
fn stands_in(entity: &str, key: &str) -> bool {
    let mut segments = key.split(':');
    let mut wanted = entity.split(':');
    segments.next() == wanted.next() && wanted.all(|name| segments.any(|segment| segment == name))
}

/// At most `max` bytes of it.
fn beginning(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::raw(text).expect("a key")
    }

    #[test]
    fn patterns_name_keys_as_redis_does() {
        let named = |pattern: &str, name: &str| {
            let pattern = Invalidation::pattern(pattern).expect("a pattern");
            pattern.names(&key(name))
        };
        assert!(named("engagement:42*", "engagement:421"));
        assert!(!named("engagement:42", "engagement:42:tasks"));
        assert!(named("dashboard:*:list", "dashboard:7:list"));
        assert!(!named("dashboard:*:list", "dashboard:7:stats"));
        assert!(named("*", "anything:1"));
        assert!(Invalidation::pattern("").is_err());
        assert!(Invalidation::pattern("a\0b").is_err());
    }

    #[test]
    fn entities_name_what_lies_below() {
        let agent = Invalidation::entity("agent");
        assert!(agent.names(&key("agent:1:status")) && agent.names(&key("agent:1")));
        assert!(!agent.names(&key("agents:1")));
        let status = Invalidation::entity("agent:status");
        assert!(status.names(&key("agent:1:status")) && !status.names(&key("agent:1")));
    }

    #[test]
    fn tags_and_users_name_no_key() {
        let tag = Invalidation::tag("engagement:1");
        assert!(!tag.names(&key("engagement:1")));
        assert_eq!(tag.as_tag(), Some("engagement:1"));
        assert_eq!(Invalidation::user("a b").as_user(), Some("a%20b"));
    }

    #[test]
    fn a_prefix_too_long_for_any_key_names_more() {
        assert!(Invalidation::prefix("").is_everything());
        let long = "é".repeat(1000);
        let prefix = Invalidation::prefix(&long);
        assert!(
            prefix.to_string().len() <= 2 + encode::KEY_MAX / 2,
            "{prefix}"
        );
        assert_eq!(Invalidation::prefix("a*").to_string(), "p:a*");
        assert_eq!(Invalidation::prefix("a").soft().to_string(), "~p:a");
    }
}
