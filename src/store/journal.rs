//! The journal: the ordered record of invalidations that every process of a keep shares.

use std::{fmt, sync::Arc, time::Duration};

use super::StoreFuture;

/// The contract of the journal. Object-safe; both verbs are atomic where the journal lies.
pub(crate) trait Journal: fmt::Debug + Send + Sync {
    /// Appends one record and answers with its position.
    ///
    /// # Cancel safety
    ///
    /// The record may or may not have been appended: append it again until an answer has come.
    fn append<'a>(&'a self, draft: &'a Draft) -> StoreFuture<'a, Appended>;

    /// The state after `from`, one page of it; all of the state if `from` is of another epoch. A
    /// journal that stands before `from` in the same epoch has lost records: it starts a new epoch.
    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, Page>;

    /// A reader of the feed.
    fn feed(&self) -> Box<dyn Feed>;
}

/// The latest records as they are appended. For speed only: a silent feed proves nothing.
pub(crate) trait Feed: fmt::Debug + Send {
    /// Waits for records after a position, oldest first; none when it has waited for long in vain.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the next call asks again.
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>>;
}

/// A record to be appended.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// What the appending process has applied; records between it and the new one come along.
    pub(crate) known: Position,
    pub(crate) kind: Kind,
    /// At most [`MAX_PURGES`].
    pub(crate) purges: Arc<[Purge]>,
    /// Whether the open declarations are to come along.
    pub(crate) with_open: bool,
    /// Whether nobody waits for it, so that it may take its time.
    pub(crate) queued: bool,
}

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What it names was written.
    Invalidate,
    /// What it names is about to be written; closed as an invalidation after `lease`.
    Open { token: u64, lease: Duration },
    /// The declared write is over: what was declared, and what the record names, was written.
    Close { token: u64 },
}

impl Kind {
    /// True if the record opens or closes this declaration.
    pub(crate) fn is_of(self, token: u64) -> bool {
        match self {
            Self::Invalidate => false,
            Self::Open { token: own, .. } | Self::Close { token: own } => own == token,
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) action: Action,
    pub(crate) purges: Arc<[Purge]>,
}

/// [`Kind`] as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Invalidate,
    Open(u64),
    Close(u64),
}

/// The answer to an append.
#[derive(Clone, Debug)]
pub(crate) struct Appended {
    pub(crate) position: Position,
    /// What is stored from before this `n` is unusable.
    pub(crate) floor: u64,
    /// Records after `known` and before this one, oldest first: all of them, or it is empty.
    pub(crate) between: Vec<Record>,
    /// Open declarations other than the record's own, if asked for.
    pub(crate) open: Vec<Declared>,
}

impl Appended {
    /// True if the answer tells everything that happened between `from` and its own record.
    pub(crate) fn tells_all_since(&self, from: Position) -> bool {
        let told = u64::try_from(self.between.len()).unwrap_or(u64::MAX);
        from.epoch == self.position.epoch
            && from.n.saturating_add(told).saturating_add(1) >= self.position.n
    }
}

/// A declaration that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) token: u64,
    pub(crate) purges: Arc<[Purge]>,
}

/// A page of the journal's state.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The head: the last record there is.
    pub(crate) head: Position,
    pub(crate) floor: u64,
    /// What was named after `from`, with the latest `n` of each, in the order of `n`.
    pub(crate) latest: Vec<(Purge, u64)>,
    /// The `n` after which the next page begins; `None` if this page is the last.
    pub(crate) next: Option<u64>,
    pub(crate) open: Vec<Declared>,
    /// Wall time at the journal, since the Unix epoch.
    pub(crate) time: Option<Duration>,
}

/// How many subjects a record may name; who has more names fewer and wider ones.
pub(crate) const MAX_PURGES: usize = 256;

/// How many records come along with the answer to an append.
pub(crate) const MAX_BETWEEN: u64 = 64;

/// A place in the journal: `n` counts up by one within an epoch; epochs are random, never repeat
/// and are only ever compared for equality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) n: u64,
}

impl Position {
    /// No epoch is known: nothing stored from here can be checked.
    pub(crate) const UNKNOWN: Self = Self { epoch: 0, n: 0 };

    pub(crate) fn is_known(self) -> bool {
        self.epoch != 0
    }
}

/// A subject, and whether what it names becomes stale rather than unusable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Purge {
    pub(crate) subject: Subject,
    pub(crate) soft: bool,
}

impl Purge {
    pub(crate) fn hard(subject: Subject) -> Self {
        Self {
            subject,
            soft: false,
        }
    }

    /// The same of each subject.
    pub(crate) fn of(subjects: Vec<Subject>, soft: bool) -> Vec<Self> {
        let purges = subjects.into_iter().map(|subject| Self { subject, soft });
        purges.collect()
    }

    /// Reads the text form. What cannot be read names everything: it was meant to name something.
    pub(crate) fn read(text: &[u8]) -> Self {
        let (soft, name) = match text.strip_prefix(b"~") {
            Some(name) => (true, name),
            None => (false, text),
        };
        let subject = std::str::from_utf8(name).ok().and_then(Subject::read);
        subject.map_or(Self::hard(Subject::Everything), |subject| Self {
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

impl Subject {
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

#[cfg(test)]
pub(in crate::store) mod contract;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_reads_back() {
        let name = || Box::from("a:b*~:");
        let subjects = [
            Subject::Key(name()),
            Subject::Prefix(name()),
            Subject::Glob(name()),
            Subject::Tag(name()),
            Subject::User(name()),
            Subject::Entity(name()),
            Subject::Version(name()),
            Subject::Everything,
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
                Purge::hard(Subject::Everything),
                "{text:?}"
            );
        }
    }
}
