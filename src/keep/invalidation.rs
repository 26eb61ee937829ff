//! The description of an invalidation.

use std::fmt;

use crate::{
    error::Error,
    key::{
        Key,
        encode::{self, KeyBytes},
        glob::matches_glob,
        pattern::target_of_pattern,
        purge::{Purge, PurgeTarget},
        tracked_name,
    },
};

/// Names stored responses and values that become unusable: those of a key, of all keys that match a
/// pattern, of a tag, of an entity, of a user, or all of them.
///
/// It covers all variations of the keys it names: by user, by query and by `Vary`.
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
    /// Names the entries under `key`.
    #[must_use]
    pub fn key(key: &Key) -> Self {
        Self::of(PurgeTarget::Key(key.as_str().into()))
    }

    /// Names the entries whose keys match a Redis glob.
    ///
    /// `engagement:42:*` and `engagement:42*` are prefixes; the second also matches
    /// `engagement:421`. A prefix costs the same for any number of entries. A pattern with a
    /// wildcard before the end, such as `dashboard:*:engagement_list`, is compared with every key
    /// that is looked up. At most 64 of these are kept; beyond that, the oldest are widened to the
    /// prefix before their first wildcard.
    ///
    /// # Errors
    ///
    /// If the pattern is empty, longer than 1024 bytes, or contains a control character.
    pub fn pattern(pattern: &str) -> Result<Self, Error> {
        target_of_pattern(pattern).map(Self::of)
    }

    /// Names the entries whose keys begin with `text`, which has no wildcards. With an empty text, names
    /// [`everything`](Self::everything).
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        let kept = tracked_name::of_prefix(text);
        if kept.is_empty() {
            return Self::everything();
        }
        Self::of(PurgeTarget::Prefix(kept.into()))
    }

    /// Names the entries with this tag: from a route's `tags`, from
    /// [`ValueEntry::tag`](super::ValueEntry::tag), or from a field of the response.
    ///
    /// A route's template encodes values in tags as in keys: `org:{answer.org_id}` makes the tag
    /// `Key::new("org").id(id).as_str()`.
    #[must_use]
    pub fn tag(tag: impl Into<Box<str>>) -> Self {
        Self::of(PurgeTarget::Tag(tag.into()))
    }

    /// Names the entries of `entity` and of the entities below it: `agent:status` is below `agent`.
    #[must_use]
    pub fn entity(entity: impl Into<Box<str>>) -> Self {
        Self::of(PurgeTarget::Entity(entity.into()))
    }

    /// Names the entries that were stored for only this user (`scope = "user"`), by the name in its
    /// [`UserId`](crate::UserId).
    #[must_use]
    pub fn user(user: &str) -> Self {
        let mut encoded = KeyBytes::new();
        encode::push_value(user.as_bytes(), &mut encoded);
        Self::of(PurgeTarget::User(encode::text(&encoded).into()))
    }

    /// Names all entries.
    #[must_use]
    pub fn everything() -> Self {
        Self::of(PurgeTarget::Everything)
    }

    /// Makes the entries stale instead of unusable: they are validated before they are used again, and
    /// may be served if the inner service fails (`stale_if_error`, RFC 5861 section 4).
    #[must_use]
    pub fn soft(mut self) -> Self {
        self.0.soft = true;
        self
    }

    /// Whether the entries become stale instead of unusable.
    #[must_use]
    pub fn is_soft(&self) -> bool {
        self.0.soft
    }

    /// Whether the invalidation names `key`: as a key, by a pattern, by an entity, or as everything.
    ///
    /// An invalidation may also name other keys of paths without a route, because the journal does not
    /// keep them apart.
    ///
    /// For a tag or a user it returns `false`, because a key does not contain them; see
    /// [`as_tag`](Self::as_tag) and [`as_user`](Self::as_user).
    #[must_use]
    pub fn names(&self, key: &Key) -> bool {
        let key = key.as_str();
        match &self.0.target {
            PurgeTarget::Key(name) => tracked_name::of_key(name) == tracked_name::of_key(key),
            PurgeTarget::Prefix(name) => key.starts_with(&**name),
            PurgeTarget::Glob(glob) => matches_glob(glob, key),
            PurgeTarget::Entity(entity) | PurgeTarget::Version(entity) => is_entity_of(entity, key),
            PurgeTarget::Everything => true,
            PurgeTarget::Tag(_) | PurgeTarget::User(_) => false,
        }
    }

    /// The tag, if the invalidation names one. Of a tag longer than 128 bytes that another process has
    /// invalidated, it has the beginning and a hash.
    #[must_use]
    pub fn as_tag(&self) -> Option<&str> {
        match &self.0.target {
            PurgeTarget::Tag(tag) => Some(tag),
            _ => None,
        }
    }

    /// The user as encoded in keys, if the invalidation names one.
    #[must_use]
    pub fn as_user(&self) -> Option<&str> {
        match &self.0.target {
            PurgeTarget::User(user) => Some(user),
            _ => None,
        }
    }

    /// Whether the invalidation names [`everything`](Self::everything).
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.target == PurgeTarget::Everything
    }

    pub(super) fn of_purge(purge: &Purge) -> Self {
        Self(purge.clone())
    }

    pub(super) fn into_purge(self) -> Purge {
        self.0
    }

    fn of(target: PurgeTarget) -> Self {
        Self(Purge::hard(target))
    }
}

impl fmt::Display for Invalidation {
    /// Writes the kind of the target and its name: `k:engagement:42`, `p:engagement:`, `t:org:7`, `*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether the key begins with the first segment of `entity` and contains the others in their order.
fn is_entity_of(entity: &str, key: &str) -> bool {
    let mut segments = key.split(':');
    let mut wanted = entity.split(':');
    segments.next() == wanted.next() && wanted.all(|name| segments.any(|segment| segment == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::raw(text).expect("a key")
    }

    #[test]
    fn patterns_match_keys_as_in_redis() {
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
    fn an_entity_names_the_keys_of_the_entities_below_it() {
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
    fn a_prefix_longer_than_any_key_is_shortened() {
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
