//! Purges, and their text form in the journal.

use std::{borrow::Cow, fmt};

use super::{
    glob::{MAX_PATTERN, literal_prefix},
    tracked_name::{self, PREFIX_MAX},
};

/// An invalidation of one target: its entries become stale (soft) or unusable (hard).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Purge {
    pub(crate) target: PurgeTarget,
    pub(crate) soft: bool,
}

impl Purge {
    pub(crate) fn hard(target: PurgeTarget) -> Self {
        Self {
            target,
            soft: false,
        }
    }

    /// One purge of each target.
    pub(crate) fn of(targets: Vec<PurgeTarget>, soft: bool) -> Vec<Self> {
        let purges = targets.into_iter().map(|target| Self { target, soft });
        purges.collect()
    }

    /// The text form of the [tracked](PurgeTarget::tracked) target, as it is in the journal.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn journal_text(&self) -> String {
        let target = self.target.tracked().into_owned();
        let soft = self.soft;
        Self { target, soft }.to_string()
    }

    /// Parses the text form. Malformed text is a purge of everything, because the entries that it was
    /// meant to name are unknown.
    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn read(text: &[u8]) -> Self {
        let (soft, name) = match text.strip_prefix(b"~") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let target = std::str::from_utf8(name).ok().and_then(PurgeTarget::read);
        target.map_or(Self::hard(PurgeTarget::Everything), |target| Self {
            target,
            soft,
        })
    }
}

impl fmt::Display for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.soft {
            f.write_str("~")?;
        }
        self.target.fmt(f)
    }
}

/// The entries that an invalidation names. All kinds but [`PurgeTarget::Version`] make entries unusable,
/// or stale if the purge is soft; a version bump makes them unreachable.
///
/// The text form of a [tracked](Self::tracked) target is a member of the journal's sorted set in Redis: one letter, a colon and the name, or
/// `*` for everything. A leading `~` marks a soft purge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PurgeTarget {
    /// `k:` a key with all its variations.
    Key(Box<str>),
    /// `p:` every key with this prefix.
    Prefix(Box<str>),
    /// `g:` a glob with a wildcard before its end.
    Glob(Box<str>),
    /// `t:` every entry with this tag.
    Tag(Box<str>),
    /// `u:` every entry of this user.
    User(Box<str>),
    /// `e:` every entry of this entity and of the entities below it.
    Entity(Box<str>),
    /// `v:` sets the run-time version of the entity's keys to the record's position.
    Version(Box<str>),
    /// `*` every entry.
    Everything,
}

impl PurgeTarget {
    /// Every key with this prefix; everything if it is empty.
    pub(crate) fn prefix(prefix: &str) -> Self {
        if prefix.is_empty() {
            return Self::Everything;
        }
        Self::Prefix(prefix.into())
    }

    /// The target that the journal and the fence track for this one: with a
    /// [tracked name](tracked_name), and a prefix for a glob that is too long. It names at least the same
    /// entries.
    pub(crate) fn tracked(&self) -> Cow<'_, Self> {
        let (rename, name): (fn(Box<str>) -> Self, _) = match self {
            Self::Key(name) => (Self::Key, tracked_name::of_key(name)),
            Self::Tag(name) => (Self::Tag, tracked_name::of_text(name)),
            Self::User(name) => (Self::User, tracked_name::of_text(name)),
            Self::Entity(name) => (Self::Entity, tracked_name::of_text(name)),
            Self::Prefix(name) if name.len() > PREFIX_MAX => {
                return Cow::Owned(Self::prefix(tracked_name::of_prefix(name)));
            }
            Self::Glob(name) if name.len() > MAX_PATTERN => {
                let prefix = tracked_name::of_prefix(literal_prefix(name));
                return Cow::Owned(Self::prefix(prefix));
            }
            Self::Prefix(_) | Self::Glob(_) | Self::Version(_) | Self::Everything => {
                return Cow::Borrowed(self);
            }
        };
        match name {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(name) => Cow::Owned(rename(name.into())),
        }
    }

    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Everything);
        }
        let (kind, name) = text.split_once(':')?;
        let kind: fn(Box<str>) -> Self = match kind {
            "k" => Self::Key,
            "p" => Self::Prefix,
            "g" => Self::Glob,
            "t" => Self::Tag,
            "u" => Self::User,
            "e" => Self::Entity,
            "v" => Self::Version,
            _ => return None,
        };
        Some(kind(name.into()))
    }

    /// The letter of the kind, and the name.
    pub(crate) fn parts(&self) -> (u8, &str) {
        match self {
            Self::Key(name) => (b'k', name),
            Self::Prefix(name) => (b'p', name),
            Self::Glob(name) => (b'g', name),
            Self::Tag(name) => (b't', name),
            Self::User(name) => (b'u', name),
            Self::Entity(name) => (b'e', name),
            Self::Version(name) => (b'v', name),
            Self::Everything => (b'*', ""),
        }
    }
}

impl fmt::Display for PurgeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (b'*', _) => f.write_str("*"),
            (kind, name) => write!(f, "{}:{name}", char::from(kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let name = || Box::from("a:b*~:");
        let targets = [
            PurgeTarget::Key(name()),
            PurgeTarget::Prefix(name()),
            PurgeTarget::Glob(name()),
            PurgeTarget::Tag(name()),
            PurgeTarget::User(name()),
            PurgeTarget::Entity(name()),
            PurgeTarget::Version(name()),
            PurgeTarget::Everything,
        ];
        for target in targets {
            for soft in [false, true] {
                let purge = Purge {
                    target: target.clone(),
                    soft,
                };
                assert_eq!(Purge::read(purge.to_string().as_bytes()), purge);
            }
        }
    }

    #[test]
    fn a_malformed_text_form_names_everything() {
        for text in [&b""[..], b"~", b"x:1", b"k", b"k:\xff", b"~~k:1", b"**"] {
            assert_eq!(
                Purge::read(text),
                Purge::hard(PurgeTarget::Everything),
                "{text:?}"
            );
        }
    }
}
