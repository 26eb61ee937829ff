//! Entries in one process; the second implementation of the contracts, for tests.

use std::{
    collections::{HashMap, hash_map},
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    clock::{Clock, Timestamp},
    key::glob::matches_glob,
    store::{
        contracts::{
            StoreFuture,
            entries::Entries,
            plain::{Plain, TimeLeft},
        },
        entry::Entry,
    },
};

/// Entries, application values and locks of one process.
#[derive(Debug)]
pub(crate) struct MemoryEntries {
    stored: Mutex<ItemsByKey>,
    clock: Arc<Clock>,
}

/// Each item with the time when it expires.
type ItemsByKey = HashMap<Box<str>, (StoredItem, Timestamp)>;

#[derive(Clone, Debug)]
enum StoredItem {
    Entry(Arc<Entry>),
    Plain(Bytes),
    /// A lock that is held with this token.
    Lock(u64),
}

impl MemoryEntries {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self {
            stored: Mutex::default(),
            clock,
        }
    }

    /// The stored items, without those that have expired, and the time.
    fn current(&self) -> (MutexGuard<'_, ItemsByKey>, Timestamp) {
        let now = self.clock.now().wall;
        // A panic leaves no half-changed map, so poisoning can be ignored.
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.retain(|_, (_, expires)| *expires > now);
        (stored, now)
    }

    fn item(&self, key: &str) -> Option<StoredItem> {
        self.current().0.get(key).map(|(item, _)| item.clone())
    }

    fn entry(&self, key: &str) -> Option<Arc<Entry>> {
        match self.item(key) {
            Some(StoredItem::Entry(entry)) => Some(entry),
            _ => None,
        }
    }

    fn plain(&self, key: &str) -> Option<Bytes> {
        match self.item(key) {
            Some(StoredItem::Plain(json)) => Some(json),
            _ => None,
        }
    }

    fn store(&self, key: &str, entry: &Arc<Entry>) -> bool {
        let (mut stored, now) = self.current();
        if let Some((StoredItem::Entry(old), _)) = stored.get(key)
            && old.position.epoch == entry.position.epoch
            && old.position.n > entry.position.n
        {
            return false;
        }
        if entry.expires > now {
            let item = (StoredItem::Entry(Arc::clone(entry)), entry.expires);
            stored.insert(key.into(), item);
        }
        entry.expires > now
    }

    fn sweep(&self, glob: &str, wanted: impl Fn(&StoredItem) -> bool) -> StoreFuture<'_, u64> {
        let mut stored = self.current().0;
        let before = stored.len();
        stored.retain(|key, (item, _)| !(wanted(item) && matches_glob(glob, key)));
        Box::pin(ready(Ok((before - stored.len()) as u64)))
    }
}

impl Entries for MemoryEntries {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Arc<Entry>>> {
        Box::pin(ready(Ok(self.entry(key))))
    }

    fn get_many<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Option<Arc<Entry>>>> {
        let entries = keys.iter().map(|key| self.entry(key));
        Box::pin(ready(entries.collect()))
    }

    fn put<'a>(&'a self, key: &'a str, entry: &'a Arc<Entry>) -> StoreFuture<'a, bool> {
        Box::pin(ready(Ok(self.store(key, entry))))
    }

    fn remove<'a>(&'a self, keys: &'a [Box<str>]) -> StoreFuture<'a, u64> {
        let mut stored = self.current().0;
        let removed = keys.iter().filter_map(|key| stored.remove(key)).count();
        Box::pin(ready(Ok(removed as u64)))
    }

    fn remove_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        self.sweep(glob, |item| matches!(item, StoredItem::Entry(_)))
    }

    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool> {
        let (mut stored, now) = self.current();
        let lock = stored.entry(lock_key(key));
        let free = matches!(lock, hash_map::Entry::Vacant(_));
        lock.or_insert((StoredItem::Lock(token), now.after(lease)));
        Box::pin(ready(Ok(free)))
    }

    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool> {
        let (mut stored, key) = (self.current().0, lock_key(key));
        let held = matches!(stored.get(&key), Some((StoredItem::Lock(held), _)) if *held == token);
        Box::pin(ready(Ok(held && stored.remove(&key).is_some())))
    }
}

impl Plain for MemoryEntries {
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(ready(Ok(self.plain(key))))
    }

    fn get_plain_many<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Option<Bytes>>> {
        let texts = keys.iter().map(|key| self.plain(key));
        Box::pin(ready(texts.collect()))
    }

    fn plain_time_left<'a>(&'a self, key: &'a str) -> StoreFuture<'a, TimeLeft> {
        let (stored, now) = self.current();
        let left = match stored.get(key) {
            Some((StoredItem::Plain(_), expires)) => TimeLeft::Left(expires.since(now)),
            _ => TimeLeft::Missing,
        };
        Box::pin(ready(Ok(left)))
    }

    fn put_plain<'a>(
        &'a self,
        key: &'a str,
        json: &'a Bytes,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        let (mut stored, now) = self.current();
        stored.insert(
            key.into(),
            (StoredItem::Plain(json.clone()), now.after(ttl)),
        );
        Box::pin(ready(Ok(())))
    }

    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        self.sweep(glob, |item| matches!(item, StoredItem::Plain(_)))
    }
}

/// No other key begins with `~`.
fn lock_key(key: &str) -> Box<str> {
    format!("~lock:{key}").into()
}

mod tests {
    use super::*;
    use crate::store::contracts::entries::suite::{self, Tested};

    #[tokio::test]
    async fn behaves_as_entries_and_application_values() {
        let clock = Arc::new(Clock::boot());
        let store = Arc::new(MemoryEntries::new(Arc::clone(&clock)));
        suite::run(&Tested { store, clock }).await;
    }
}
