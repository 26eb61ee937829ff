//! The journal in one process.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    key::purge::Purge,
    store::{
        contracts::{
            StoreFuture,
            journal::{
                AppendReply, AppendRequest, EpochCause, Feed, Journal, MAX_BETWEEN, MAX_LEASE,
                OpenDeclaration, Record, RecordAction, RecordKind, StatePage,
            },
        },
        position::Position,
    },
};

/// Keeps the latest records. A caller that needs earlier ones gets a floor instead: entries stored
/// before it can no longer be checked.
#[derive(Debug)]
pub(crate) struct MemoryJournal(watch::Sender<JournalState>);

#[derive(Debug)]
struct JournalState {
    head: Position,
    records: VecDeque<Record>,
    /// How many purges the records have.
    purges: usize,
    open: Vec<LeasedDeclaration>,
}

#[derive(Debug)]
struct LeasedDeclaration {
    declared: OpenDeclaration,
    until: Instant,
}

impl MemoryJournal {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(JournalState {
            head: Position::begin_epoch(),
            records: VecDeque::new(),
            purges: 0,
            open: Vec::new(),
        }))
    }

    pub(crate) fn head(&self) -> Position {
        self.0.borrow().head
    }

    /// Changes the state and wakes the feeds.
    fn modify<T>(&self, change: impl FnOnce(&mut JournalState) -> T) -> T {
        let mut reply = None;
        self.0.send_modify(|state| reply = Some(change(state)));
        reply.expect("the change was made")
    }
}

impl Journal for MemoryJournal {
    fn append<'a>(&'a self, request: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move { Ok(self.modify(|state| state.append(request))) })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move { Ok(self.modify(|state| state.page(from, page))) })
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(MemoryFeed(self.0.clone()))
    }
}

impl JournalState {
    fn append(&mut self, request: &AppendRequest) -> AppendReply {
        self.check_known(request.known);
        self.close_expired();
        let (action, purges) = match request.kind {
            RecordKind::Invalidate => (RecordAction::Invalidate, Arc::clone(&request.purges)),
            RecordKind::Open { token, lease } => {
                self.declare(token, lease, &request.purges);
                (RecordAction::Open(token), Arc::clone(&request.purges))
            }
            RecordKind::Close { token } => (
                RecordAction::Close(token),
                self.close(token, &request.purges),
            ),
        };
        let before = self.head;
        let position = self.record(action, purges);
        AppendReply {
            position,
            floor: 0,
            between: self.between(request.known, before),
            open: self.open_beside(request),
        }
    }

    fn record(&mut self, action: RecordAction, purges: Arc<[Purge]>) -> Position {
        self.head.n += 1;
        self.purges += purges.len();
        self.records.push_back(Record {
            position: self.head,
            action,
            purges,
        });
        while self.records.len() > MAX_RECORDS || self.purges > MAX_KEPT_PURGES {
            let oldest = self.records.pop_front();
            self.purges -= oldest.map_or(0, |record| record.purges.len());
        }
        self.head
    }

    fn between(&self, known: Position, last: Position) -> Vec<Record> {
        if known.epoch != last.epoch || last.n.saturating_sub(known.n) > MAX_BETWEEN {
            return Vec::new();
        }
        self.after(known.n)
            .take_while(|record| record.position.n <= last.n)
            .cloned()
            .collect()
    }

    fn open_beside(&self, request: &AppendRequest) -> Vec<OpenDeclaration> {
        if !request.with_open {
            return Vec::new();
        }
        let others = self.open.iter().map(|open| &open.declared);
        others
            .filter(|declared| !request.kind.is_of(declared.token))
            .cloned()
            .collect()
    }

    fn page(&mut self, from: Position, size: usize) -> StatePage {
        self.check_known(from);
        self.close_expired();
        let from = if from.epoch == self.head.epoch {
            from.n
        } else {
            0
        };
        let before = self.before_first();
        let mut latest = Vec::new();
        let mut next = None;
        for record in self.after(from) {
            if latest.len() >= size.max(1) {
                next = Some(record.position.n - 1);
                break;
            }
            if !matches!(record.action, RecordAction::Open(_)) {
                let n = record.position.n;
                latest.extend(record.purges.iter().map(|purge| (purge.clone(), n)));
            }
        }
        StatePage {
            head: self.head,
            floor: if from < before { before } else { 0 },
            latest,
            next,
            open: self.open.iter().map(|open| open.declared.clone()).collect(),
            time: None,
            cause: EpochCause::default(),
        }
    }

    /// The `n` before the first record that is kept.
    fn before_first(&self) -> u64 {
        let first = self.records.front();
        first.map_or(self.head.n, |record| record.position.n - 1)
    }

    fn after(&self, n: u64) -> impl Iterator<Item = &Record> {
        let known = usize::try_from(n.saturating_sub(self.before_first())).unwrap_or(usize::MAX);
        self.records.iter().skip(known)
    }

    fn declare(&mut self, token: u64, lease: Duration, purges: &Arc<[Purge]>) {
        self.open.retain(|open| open.declared.token != token);
        self.open.push(LeasedDeclaration {
            declared: OpenDeclaration {
                token,
                purges: Arc::clone(purges),
            },
            until: Instant::now() + lease.min(MAX_LEASE),
        });
    }

    /// Closes a declaration; returns its purges and `purges`.
    fn close(&mut self, token: u64, purges: &Arc<[Purge]>) -> Arc<[Purge]> {
        let Some(index) = self
            .open
            .iter()
            .position(|open| open.declared.token == token)
        else {
            return Arc::clone(purges);
        };
        let declared = self.open.swap_remove(index).declared.purges;
        declared.iter().chain(purges.iter()).cloned().collect()
    }

    fn close_expired(&mut self) {
        let now = Instant::now();
        while let Some(open) = self.open.iter().find(|open| open.until <= now) {
            let token = open.declared.token;
            let purges = self.close(token, &Arc::from([]));
            self.record(RecordAction::Close(token), purges);
        }
    }

    /// Begins a new epoch if the caller knows records that this journal has lost.
    fn check_known(&mut self, known: Position) {
        if known.epoch == self.head.epoch && known.n > self.head.n {
            self.head = Position::begin_epoch();
            self.records.clear();
            self.purges = 0;
        }
    }
}

/// The feed of a [`MemoryJournal`].
#[derive(Debug)]
struct MemoryFeed(watch::Sender<JournalState>);

impl Feed for MemoryFeed {
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(async move {
            let n = after.n;
            let mut states = self.0.subscribe();
            let newer = states.wait_for(|state| state.head.n > n);
            let _ = timeout(FEED_TIMEOUT, newer).await;
            Ok(self.0.borrow().after(n).cloned().collect())
        })
    }
}

/// How many records are kept.
const MAX_RECORDS: usize = 4096;

/// How many purges the records that are kept may have.
const MAX_KEPT_PURGES: usize = 1 << 15;

/// How long the feed waits for a record.
const FEED_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contracts::journal::suite::BEHAVIOURS;

    #[tokio::test]
    async fn behaves_as_a_journal() {
        for (name, behaviour) in BEHAVIOURS {
            eprintln!("{name}");
            behaviour(Arc::new(MemoryJournal::new())).await;
        }
    }
}
