//! What an invalidation names, and its text form in the journal.

use std::fmt;

/// A subject, and whether what it names becomes stale rather than unusable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Purge {
    pub(crate) subject: PurgeTarget,
    pub(crate) soft: bool,
}

impl Purge {
    pub(crate) fn hard(subject: PurgeTarget) -> Self {
        Self {
            subject,
            soft: false,
        }
    }

    /// The same of each subject.
    pub(crate) fn of(subjects: Vec<PurgeTarget>, soft: bool) -> Vec<Self> {
        let purges = subjects.into_iter().map(|subject| Self { subject, soft });
        purges.collect()
    }

    /// Reads the text form. What cannot be read names everything: it was meant to name something.
    pub(crate) fn read(text: &[u8]) -> Self {
        let (soft, name) = match text.strip_prefix(b"~") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let subject = std::str::from_utf8(name).ok().and_then(PurgeTarget::read);
        subject.map_or(Self::hard(PurgeTarget::Everything), |subject| Self {
            subject,
            soft,
        })
    }
}

impl fmt::Display for Purge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.soft {
            f.write_str("~")?;
        }
        self.subject.fmt(f)
    }
}

/// What an invalidation names. Every kind but [`PurgeTarget::Version`] makes stored responses unusable
/// (or stale, when soft); a version bump makes them unreachable.
///
/// The text form is the member of the journal's sorted set in Redis: one letter, a colon, the name;
/// a leading `~` marks a soft one; `*` is everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PurgeTarget {
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

impl PurgeTarget {
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
}

impl fmt::Display for PurgeTarget {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let name = || Box::from("a:b*~:");
        let subjects = [
            PurgeTarget::Key(name()),
            PurgeTarget::Prefix(name()),
            PurgeTarget::Glob(name()),
            PurgeTarget::Tag(name()),
            PurgeTarget::User(name()),
            PurgeTarget::Entity(name()),
            PurgeTarget::Version(name()),
            PurgeTarget::Everything,
        ];
        for subject in subjects {
            for soft in [false, true] {
                let purge = Purge {
                    subject: subject.clone(),
                    soft,
                };
                assert_eq!(Purge::read(purge.to_string().as_bytes()), purge);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_names_everything() {
        for text in [&b""[..], b"~", b"x:1", b"k", b"k:\xff", b"~~k:1", b"**"] {
            assert_eq!(
                Purge::read(text),
                Purge::hard(PurgeTarget::Everything),
                "{text:?}"
            );
        }
    }
}
