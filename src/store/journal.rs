//! The journal: the ordered record of invalidations that every process of a keep shares.

use std::fmt;

/// A place in the journal: `n` counts up by one within an epoch; epochs are random, never repeat
/// and are only ever compared for equality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) n: u64,
}

/// What an invalidation names. Every kind but [`Subject::Version`] makes stored responses unusable
/// (or stale, when soft); a version bump makes them unreachable.
///
/// The text form is the member of the journal's sorted set in Redis: one letter, a colon, the name;
/// a leading `~` marks a soft one; `*` is everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// `k:` one key with all its variations.
    Key(Box<str>),
    /// `p:` every key that begins so.
    Prefix(Box<str>),
    /// `g:` a glob with a wildcard before its end.
    Glob(Box<str>),
    /// `t:` everything that carries the tag.
    Tag(Box<str>),
    /// `u:` everything stored for the user.
    User(Box<str>),
    /// `e:` everything of the entity and of the entities below it.
    Entity(Box<str>),
    /// `v:` the run-time version of an entity's keys becomes this record's position.
    Version(Box<str>),
    /// `*`
    Everything,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(s) => write!(f, "k:{s}"),
            Self::Prefix(s) => write!(f, "p:{s}"),
            Self::Glob(s) => write!(f, "g:{s}"),
            Self::Tag(s) => write!(f, "t:{s}"),
            Self::User(s) => write!(f, "u:{s}"),
            Self::Entity(s) => write!(f, "e:{s}"),
            Self::Version(s) => write!(f, "v:{s}"),
            Self::Everything => f.write_str("*"),
        }
    }
}
