//! Entries in one process, bounded by weight; the second implementation of the contracts.

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
    store::{
        contracts::{StoreFuture, entries::Entries, plain::Plain},
        entry::{BOOKKEEPING, Entry},
    },
};

/// Entries and application values of one process; the least used are evicted.
pub(crate) struct MemoryEntries {
    stored: Cache<Box<str>, StoredItem, ItemWeighter>,
    /// Held while a put compares its entry with the stored one.
    putting: Mutex<()>,
    locks: Mutex<HashMap<Box<str>, HeldLock>>,
    clock: Arc<Clock>,
}

#[derive(Clone)]
enum StoredItem {
    Entry(Arc<Entry>),
    Plain(Bytes, Timestamp),
}

struct HeldLock {
    token: u64,
    until: Timestamp,
}

impl MemoryEntries {
    /// A store of at most about `bytes`.
    pub(crate) fn new(bytes: u64, clock: Arc<Clock>) -> Self {
        let items = usize::try_from(bytes / 2048)
            .unwrap_or(usize::MAX)
            .min(1 << 20);
        Self {
            stored: Cache::with_weighter(items, bytes, ItemWeighter),
            putting: Mutex::default(),
            locks: Mutex::default(),
            clock,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now().wall
    }

    /// The stored item, unless it has expired.
    fn current(&self, key: &str) -> Option<StoredItem> {
        let stored = self.stored.get(key)?;
        (stored.expires() > self.now()).then_some(stored)
    }

    fn store(&self, key: &str, entry: &Arc<Entry>) -> bool {
        if entry.expires <= self.now() {
            return false;
        }
        let _putting = lock(&self.putting);
        if let Some(StoredItem::Entry(stored)) = self.current(key) {
            let (stored, new) = (stored.position, entry.position);
            if stored.epoch == new.epoch && stored.n > new.n {
                return false;
            }
        }
        self.stored
            .insert(key.into(), StoredItem::Entry(Arc::clone(entry)));
        true
    }

    fn sweep(&self, glob: &str, wanted: impl Fn(&StoredItem) -> bool) -> u64 {
        let (removed, now) = (AtomicU64::new(0), self.now());
        self.stored.retain(|key, stored| {
            let removes = wanted(stored) && matches_glob(glob, key);
            if removes && stored.expires() > now {
                removed.fetch_add(1, Ordering::Relaxed);
            }
            !removes
        });
        removed.into_inner()
    }

    fn acquire_lock(&self, key: &str, token: u64, lease: Duration) -> bool {
        let (mut locks, now) = (lock(&self.locks), self.now());
        if locks.get(key).is_some_and(|lock| lock.until > now) {
            return false;
        }
        if locks.len() >= MAX_EXPIRED_LOCKS {
            locks.retain(|_, lock| lock.until > now);
        }
        let until = now.after(lease);
        locks.insert(key.into(), HeldLock { token, until });
        true
    }

    fn release_lock(&self, key: &str, token: u64) -> bool {
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
            Some(StoredItem::Entry(entry)) => Some(entry),
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
        let removed = self.sweep(glob, |stored| matches!(stored, StoredItem::Entry(_)));
        Box::pin(ready(Ok(removed)))
    }

    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool> {
        Box::pin(ready(Ok(self.acquire_lock(key, token, lease))))
    }

    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool> {
        Box::pin(ready(Ok(self.release_lock(key, token))))
    }
}

impl Plain for MemoryEntries {
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        let json = match self.current(key) {
            Some(StoredItem::Plain(json, _)) => Some(json),
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
        let stored = StoredItem::Plain(json.clone(), self.now().after(ttl));
        self.stored.insert(key.into(), stored);
        Box::pin(ready(Ok(())))
    }

    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        let removed = self.sweep(glob, |stored| matches!(stored, StoredItem::Plain(..)));
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

impl StoredItem {
    fn expires(&self) -> Timestamp {
        match self {
            Self::Entry(entry) => entry.expires,
            Self::Plain(_, expires) => *expires,
        }
    }
}

#[derive(Clone)]
struct ItemWeighter;

impl Weighter<Box<str>, StoredItem> for ItemWeighter {
    fn weight(&self, key: &Box<str>, stored: &StoredItem) -> u64 {
        let content = match stored {
            StoredItem::Entry(entry) => entry.weight(),
            StoredItem::Plain(json, _) => json.len() as u64,
        };
        content + key.len() as u64 + BOOKKEEPING
    }
}

/// Ignores poisoning, as no operation under either lock can leave it half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Expired locks are removed once there are this many locks.
const MAX_EXPIRED_LOCKS: usize = 1024;
