//! The journal of one process.

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

/// Keeps the latest records only. Who asks for more is given a floor instead: what it has stored
/// from before cannot be checked any more.
#[derive(Debug)]
pub(crate) struct MemoryJournal {
    log: Arc<Log>,
}

#[derive(Debug)]
struct Log {
    state: Mutex<State>,
    head: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    head: Position,
    records: VecDeque<Record>,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    declared: OpenDeclaration,
    until: Instant,
}

impl MemoryJournal {
    pub(crate) fn new() -> Self {
        let state = State {
            head: Position {
                epoch: epoch(),
                n: 0,
            },
            records: VecDeque::new(),
            open: Vec::new(),
        };
        Self {
            log: Arc::new(Log {
                state: Mutex::new(state),
                head: watch::Sender::new(0),
            }),
        }
    }

    pub(crate) fn head(&self) -> Position {
        self.log.state().head
    }
}

impl Journal for MemoryJournal {
    fn append<'a>(&'a self, draft: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move {
            let appended = self.log.state().append(draft);
            self.log.head.send_replace(appended.position.n);
            Ok(appended)
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            let page = self.log.state().page(from, page);
            self.log.head.send_replace(page.head.n);
            Ok(page)
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(MemoryFeed {
            log: Arc::clone(&self.log),
            head: self.log.head.subscribe(),
        })
    }
}

impl Log {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn append(&mut self, draft: &AppendRequest) -> AppendReply {
        self.refuse_lost(draft.known);
        self.close_expired();
        let (action, purges) = match draft.kind {
            RecordKind::Invalidate => (RecordAction::Invalidate, Arc::clone(&draft.purges)),
            RecordKind::Open { token, lease } => {
                self.declare(token, lease, &draft.purges);
                (RecordAction::Open(token), Arc::clone(&draft.purges))
            }
            RecordKind::Close { token } => {
                (RecordAction::Close(token), self.close(token, &draft.purges))
            }
        };
        let before = self.head;
        let position = self.record(action, purges);
        AppendReply {
            position,
            floor: 0,
            between: self.between(draft.known, before),
            open: self.open_beside(draft),
        }
    }

    fn record(&mut self, action: RecordAction, purges: Arc<[Purge]>) -> Position {
        self.head.n += 1;
        self.records.push_back(Record {
            position: self.head,
            action,
            purges,
        });
        if self.records.len() > KEPT {
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

    fn open_beside(&self, draft: &AppendRequest) -> Vec<OpenDeclaration> {
        if !draft.with_open {
            return Vec::new();
        }
        let others = self.open.iter().map(|open| &open.declared);
        others
            .filter(|declared| !draft.kind.is_of(declared.token))
            .cloned()
            .collect()
    }

    fn page(&mut self, from: Position, size: usize) -> StatePage {
        self.refuse_lost(from);
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
        self.open.push(Open {
            declared: OpenDeclaration {
                token,
                purges: Arc::clone(purges),
            },
            until: Instant::now() + lease.min(LONGEST_LEASE),
        });
    }

    /// What was declared, and what is named now.
    fn close(&mut self, token: u64, named: &Arc<[Purge]>) -> Arc<[Purge]> {
        let Some(index) = self
            .open
            .iter()
            .position(|open| open.declared.token == token)
        else {
            return Arc::clone(named);
        };
        let declared = self.open.swap_remove(index).declared.purges;
        declared.iter().chain(named.iter()).cloned().collect()
    }

    fn close_expired(&mut self) {
        let now = Instant::now();
        while let Some(open) = self.open.iter().find(|open| open.until <= now) {
            let token = open.declared.token;
            let purges = self.close(token, &Arc::from([]));
            self.record(RecordAction::Close(token), purges);
        }
    }

    fn refuse_lost(&mut self, known: Position) {
        if known.epoch == self.head.epoch && known.n > self.head.n {
            self.head = Position {
                epoch: epoch(),
                n: 0,
            };
            self.records.clear();
        }
    }
}

/// The feed of a [`MemoryJournal`].
#[derive(Debug)]
struct MemoryFeed {
    log: Arc<Log>,
    head: watch::Receiver<u64>,
}

impl Feed for MemoryFeed {
    fn next(&mut self, after: Position) -> StoreFuture<'_, Vec<Record>> {
        Box::pin(async move {
            let n = after.n;
            // The journal holds the sender for as long as this feed holds the journal.
            let _ = timeout(PATIENCE, self.head.wait_for(|head| *head > n)).await;
            Ok(self.log.state().after(n).cloned().collect())
        })
    }
}

/// Epochs are random; 0 means none.
pub(crate) fn epoch() -> u64 {
    fastrand::u64(1..=i64::MAX.unsigned_abs())
}

/// How many records are kept.
const KEPT: usize = 4096;

/// No clock reaches further than a caller may ask.
const LONGEST_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the feed waits for a record.
const PATIENCE: Duration = Duration::from_secs(1);
