//! The journal: the ordered record of invalidations that every process of a keep shares.

use std::{fmt, sync::Arc, time::Duration};

use super::StoreFuture;
use crate::{key::purge::Purge, store::position::Position};

/// The contract of the journal. Object-safe; both verbs are atomic where the journal lies.
pub(crate) trait Journal: fmt::Debug + Send + Sync {
    /// Appends one record and answers with its position.
    ///
    /// # Cancel safety
    ///
    /// The record may or may not have been appended: append it again until an answer has come.
    fn append<'a>(&'a self, draft: &'a AppendRequest) -> StoreFuture<'a, Appended>;

    /// The state after `from`, one page of it; all of the state if `from` is of another epoch. A
    /// journal that stands before `from` in the same epoch has lost records: it starts a new epoch.
    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage>;

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
pub(crate) struct AppendRequest {
    /// What the appending process has applied; records between it and the new one come along.
    pub(crate) known: Position,
    pub(crate) kind: RecordKind,
    /// At most [`MAX_PURGES`].
    pub(crate) purges: Arc<[Purge]>,
    /// Whether the open declarations are to come along.
    pub(crate) with_open: bool,
    /// Whether nobody waits for it, so that it may take its time.
    pub(crate) queued: bool,
}

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// What it names was written.
    Invalidate,
    /// What it names is about to be written; closed as an invalidation after `lease`.
    Open { token: u64, lease: Duration },
    /// The declared write is over: what was declared, and what the record names, was written.
    Close { token: u64 },
}

impl RecordKind {
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
    pub(crate) action: RecordAction,
    pub(crate) purges: Arc<[Purge]>,
}

/// [`RecordKind`] as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordAction {
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
pub(crate) struct StatePage {
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

#[cfg(test)]
pub(in crate::store) mod contract;
