//! The journal: an ordered log of invalidations, shared by all processes of a keep.

use std::{fmt, sync::Arc, time::Duration};

use super::StoreFuture;
use crate::{key::purge::Purge, store::position::Position};

/// A journal. [`append`](Self::append) and [`sync`](Self::sync) are atomic in the store.
pub(crate) trait Journal: fmt::Debug + Send + Sync {
    /// Appends one record.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped, the record may or may not have been appended: append it again until a reply
    /// comes.
    fn append<'a>(&'a self, request: &'a AppendRequest) -> StoreFuture<'a, AppendReply>;

    /// Reads a page of `page` targets: those named after `from`, or all if `from` is of another epoch.
    ///
    /// If the journal's head is before `from` in the same epoch, records were lost, and the journal
    /// starts a new epoch.
    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage>;

    /// Starts reading the feed.
    fn feed(&self) -> Box<dyn Feed>;

    /// Changes the bounds of its memory. A journal in one process has fixed ones.
    fn set_limits(&self, _limits: JournalLimits) {}
}

/// The bounds of a journal's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalLimits {
    /// How many bytes the journal may take.
    pub(crate) bytes: u64,
    /// The time after which nothing that was stored before can be in use.
    pub(crate) retention: Duration,
}

impl JournalLimits {
    /// The limits for entries that are used for at most `max_ttl` after they were stored.
    pub(crate) fn new(bytes: u64, max_ttl: Duration) -> Self {
        Self {
            bytes,
            retention: max_ttl.saturating_add(LONGEST_FILL),
        }
    }
}

/// Delivers records soon after they are appended. A silent feed does not prove that there are none.
pub(crate) trait Feed: fmt::Debug + Send {
    /// Waits for records after a position, oldest first. Returns none after a long wait.
    ///
    /// # Cancel safety
    ///
    /// No record is lost: the next call asks again.
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>>;
}

/// A record to append.
#[derive(Clone, Debug)]
pub(crate) struct AppendRequest {
    /// The position up to which this process has applied the journal; the reply has the records after
    /// it.
    pub(crate) known: Position,
    pub(crate) kind: RecordKind,
    /// At most [`MAX_PURGES`].
    pub(crate) purges: Arc<[Purge]>,
    /// Whether the reply should list the open declarations.
    pub(crate) with_open: bool,
    /// Whether the append runs in the background, so that no request waits for the reply.
    pub(crate) queued: bool,
}

/// The effect of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// The targets were written.
    Invalidate,
    /// The targets are about to be written. After `lease` the journal closes the declaration.
    Open { token: u64, lease: Duration },
    /// The declared write is over: the declared targets, and those of this record, were written.
    Close { token: u64 },
}

impl RecordKind {
    /// Whether the record opens or closes this declaration.
    pub(crate) fn is_of(self, token: u64) -> bool {
        match self {
            Self::Invalidate => false,
            Self::Open { token: own, .. } | Self::Close { token: own } => own == token,
        }
    }
}

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) position: Position,
    pub(crate) action: RecordAction,
    pub(crate) purges: Arc<[Purge]>,
}

/// The effect of a record for its readers: [`RecordKind`] without the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordAction {
    Invalidate,
    Open(u64),
    Close(u64),
}

/// The reply to an append.
#[derive(Clone, Debug)]
pub(crate) struct AppendReply {
    pub(crate) position: Position,
    /// Entries from before this `n` are unusable.
    pub(crate) floor: u64,
    /// All records after `known` and before this one, oldest first; empty if there are more than
    /// [`MAX_BETWEEN`].
    pub(crate) between: Vec<Record>,
    /// The open declarations except the record's own, if asked for.
    pub(crate) open: Vec<OpenDeclaration>,
}

impl AppendReply {
    /// Whether [`between`](Self::between) has every record after `from`.
    pub(crate) fn is_complete_since(&self, from: Position) -> bool {
        let between = u64::try_from(self.between.len()).unwrap_or(u64::MAX);
        from.epoch == self.position.epoch
            && from.n.saturating_add(between).saturating_add(1) >= self.position.n
    }
}

/// An open declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenDeclaration {
    pub(crate) token: u64,
    pub(crate) purges: Arc<[Purge]>,
}

/// A page of the journal's state.
#[derive(Clone, Debug)]
pub(crate) struct StatePage {
    /// The position of the last record.
    pub(crate) head: Position,
    pub(crate) floor: u64,
    /// Purges after `from`, with the latest `n` of each, in the order of `n`.
    pub(crate) latest: Vec<(Purge, u64)>,
    /// The `n` after which the next page begins; `None` if this page is the last.
    pub(crate) next: Option<u64>,
    pub(crate) open: Vec<OpenDeclaration>,
    /// The wall clock of the store, since the Unix epoch.
    pub(crate) time: Option<Duration>,
    /// Why the epoch of the head began.
    pub(crate) cause: EpochCause,
}

/// Why an epoch began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EpochCause {
    /// There was no journal.
    #[default]
    Missing,
    /// Another server, or a restarted one, has the journal.
    Server,
    /// A process had applied more records than the journal had.
    Lost,
    /// The journal's data were not as its scripts leave them.
    Damaged,
}

impl EpochCause {
    /// The cause with its name in the journal.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::Missing, "missing"),
        (Self::Server, "server"),
        (Self::Lost, "lost"),
        (Self::Damaged, "damaged"),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Longer than any fill takes. What a fill stores has the position before it.
const LONGEST_FILL: Duration = Duration::from_secs(60 * 60);

/// The longest lease of a declaration. `journal.lua` closes one with a longer lease, which no process has
/// written.
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// How many purges a record may have.
pub(crate) const MAX_PURGES: usize = 256;

/// How many records a reply to an append may have.
pub(crate) const MAX_BETWEEN: u64 = 64;

#[cfg(test)]
pub(in crate::store) mod suite;
