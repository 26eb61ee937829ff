//! The journal in one process.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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
                AppendReply, AppendRequest, Feed, Journal, MAX_BETWEEN, OpenDeclaration, Record,
                RecordAction, RecordKind, StatePage,
            },
        },
        position::Position,
    },
};

/// Keeps the latest records. A caller that needs earlier ones gets a floor instead: entries stored
/// before it can no longer be checked.
#[derive(Debug)]
pub(crate) struct MemoryJournal {
    shared: Arc<SharedJournal>,
}

#[derive(Debug)]
struct SharedJournal {
    state: Mutex<JournalState>,
    head: watch::Sender<u64>,
}

#[derive(Debug)]
struct JournalState {
    head: Position,
    records: VecDeque<Record>,
    open: Vec<LeasedDeclaration>,
}

#[derive(Debug)]
struct LeasedDeclaration {
    declared: OpenDeclaration,
    until: Instant,
}

impl MemoryJournal {
    pub(crate) fn new() -> Self {
        let state = JournalState {
            head: Position::begin_epoch(),
            records: VecDeque::new(),
            open: Vec::new(),
        };
        Self {
            shared: Arc::new(SharedJournal {
                state: Mutex::new(state),
                head: watch::Sender::new(0),
            }),
        }
    }

    pub(crate) fn head(&self) -> Position {
        self.shared.state().head
    }
}

impl Journal for MemoryJournal {
    fn append<'a>(&'a self, request: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move {
            let appended = self.shared.state().append(request);
            self.shared.head.send_replace(appended.position.n);
            Ok(appended)
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            let page = self.shared.state().page(from, page);
            self.shared.head.send_replace(page.head.n);
            Ok(page)
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(MemoryFeed {
            shared: Arc::clone(&self.shared),
            head: self.shared.head.subscribe(),
        })
    }
}

impl SharedJournal {
    fn state(&self) -> MutexGuard<'_, JournalState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.records.push_back(Record {
            position: self.head,
            action,
            purges,
        });
        if self.records.len() > MAX_RECORDS {
            self.records.pop_front();
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
        let oldest = self
            .records
            .front()
            .map_or(0, |record| record.position.n - 1);
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
            floor: if from < oldest { oldest } else { 0 },
            latest,
            next,
            open: self.open.iter().map(|open| open.declared.clone()).collect(),
            time: None,
        }
    }

    fn after(&self, n: u64) -> impl Iterator<Item = &Record> {
        let oldest = self
            .records
            .front()
            .map_or(0, |record| record.position.n - 1);
        let known = usize::try_from(n.saturating_sub(oldest)).unwrap_or(usize::MAX);
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
        }
    }
}

/// The feed of a [`MemoryJournal`].
#[derive(Debug)]
struct MemoryFeed {
    shared: Arc<SharedJournal>,
    head: watch::Receiver<u64>,
}

impl Feed for MemoryFeed {
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(async move {
            let n = after.n;
            // The sender is part of the state that this feed keeps alive.
            let _ = timeout(FEED_TIMEOUT, self.head.wait_for(|head| *head > n)).await;
            Ok(self.shared.state().after(n).cloned().collect())
        })
    }
}

/// How many records are kept.
const MAX_RECORDS: usize = 4096;

/// Longer leases could overflow the clock.
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the feed waits for a record.
const FEED_TIMEOUT: Duration = Duration::from_secs(1);
