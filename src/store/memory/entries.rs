//! Entries in one process, bounded by weight.

use std::{
    collections::HashMap,
    fmt,
    future::ready,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};

use crate::{
    clock::{Clock, Timestamp},
    key::glob::matches_glob,
    store::entry::BOOKKEEPING,
    store::{
        contracts::{StoreFuture, entries::Entries, plain::Plain},
        entry::Entry,
    },
};

/// Entries and plain values of one process; what is not used gives way to what is.
pub(crate) struct MemoryEntries {
    stored: Cache<Box<str>, Stored, Weight>,
    /// Held while what is there is compared with what comes.
    putting: Mutex<()>,
    locks: Mutex<HashMap<Box<str>, Lock>>,
    clock: Arc<Clock>,
}

#[derive(Clone)]
enum Stored {
    Entry(Arc<Entry>),
    Plain(Bytes, Timestamp),
}

struct Lock {
    token: u64,
    until: Timestamp,
}

/// So many locks are held before those that have run out are looked for.
const LOCKS: usize = 1024;

impl MemoryEntries {
    /// At most about `bytes` of entries.
    pub(crate) fn new(bytes: u64, clock: Arc<Clock>) -> Self {
        let items = usize::try_from(bytes / 2048)
            .unwrap_or(usize::MAX)
            .min(1 << 20);
        Self {
            stored: Cache::with_weighter(items, bytes, Weight),
            putting: Mutex::default(),
            locks: Mutex::default(),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// What lies there and has not expired.
    fn current(&self, key: &str) -> Option<Stored> {
        let stored = self.stored.get(key)?;
        (stored.expires() > self.now()).then_some(stored)
    }

    fn store(&self, key: &str, entry: &Arc<Entry>) -> bool {
        if entry.expires <= self.now() {
            return false;
        }
        let _putting = lock(&self.putting);
        if let Some(Stored::Entry(there)) = self.current(key) {
            let (there, new) = (there.position, entry.position);
            if there.epoch == new.epoch && there.n > new.n {
                return false;
            }
        }
        self.stored
            .insert(key.into(), Stored::Entry(Arc::clone(entry)));
        true
    }

    fn sweep(&self, glob: &str, wanted: impl Fn(&Stored) -> bool) -> u64 {
        let (removed, now) = (AtomicU64::new(0), self.now());
        self.stored.retain(|key, stored| {
            let goes = wanted(stored) && matches_glob(glob, key);
            if goes && stored.expires() > now {
                removed.fetch_add(1, Ordering::Relaxed);
            }
            !goes
        });
        removed.into_inner()
    }

    fn take(&self, key: &str, token: u64, lease: Duration) -> bool {
        let (mut locks, now) = (lock(&self.locks), self.now());
        if locks.get(key).is_some_and(|lock| lock.until > now) {
            return false;
        }
        if locks.len() >= LOCKS {
            locks.retain(|_, lock| lock.until > now);
        }
        let until = now.after(lease);
        locks.insert(key.into(), Lock { token, until });
        true
    }

    fn give_back(&self, key: &str, token: u64) -> bool {
        let (mut locks, now) = (lock(&self.locks), self.now());
        let held = locks
            .get(key)
            .is_some_and(|lock| lock.token == token && lock.until > now);
        held && locks.remove(key).is_some()
    }
}

impl Entries for MemoryEntries {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Arc<Entry>>> {
        let entry = match self.current(key) {
            Some(Stored::Entry(entry)) => Some(entry),
            _ => None,
        };
        Box::pin(ready(Ok(entry)))
    }

    fn put<'a>(&'a self, key: &'a str, entry: &'a Arc<Entry>) -> StoreFuture<'a, bool> {
        Box::pin(ready(Ok(self.store(key, entry))))
    }

    fn remove<'a>(&'a self, keys: &'a [Box<str>]) -> StoreFuture<'a, u64> {
        let now = self.now();
        let removed = keys
            .iter()
            .filter_map(|key| self.stored.remove(&**key))
            .filter(|(_, stored)| stored.expires() > now);
        Box::pin(ready(Ok(removed.count() as u64)))
    }

    fn remove_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        let removed = self.sweep(glob, |stored| matches!(stored, Stored::Entry(_)));
        Box::pin(ready(Ok(removed)))
    }

    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(ready(Ok(self.take(key, token, lease))))
    }

    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool> {
        Box::pin(ready(Ok(self.give_back(key, token))))
    }
}

impl Plain for MemoryEntries {
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        let json = match self.current(key) {
            Some(Stored::Plain(json, _)) => Some(json),
            _ => None,
        };
        Box::pin(ready(Ok(json)))
    }

    fn put_plain<'a>(
        &'a self,
        key: &'a str,
        json: &'a Bytes,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        let stored = Stored::Plain(json.clone(), self.now().after(ttl));
        self.stored.insert(key.into(), stored);
        Box::pin(ready(Ok(())))
    }

    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        let removed = self.sweep(glob, |stored| matches!(stored, Stored::Plain(..)));
        Box::pin(ready(Ok(removed)))
    }
}

impl fmt::Debug for MemoryEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEntries")
            .field("len", &self.stored.len())
            .field("weight", &self.stored.weight())
            .finish_non_exhaustive()
    }
}

impl Stored {
    fn expires(&self) -> Timestamp {
        match self {
            Self::Entry(entry) => entry.expires,
            Self::Plain(_, expires) => *expires,
        }
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Stored> for Weight {
    fn weight(&self, key: &Box<str>, stored: &Stored) -> u64 {
        let content = match stored {
            Stored::Entry(entry) => entry.weight(),
            Stored::Plain(json, _) => json.len() as u64,
        };
        content + key.len() as u64 + BOOKKEEPING
    }
}

/// Nothing is left half done under either lock, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
