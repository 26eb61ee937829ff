//! The local tier: entries in this process's memory, up to a total size in bytes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Counter, counter};
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};
use smallvec::SmallVec;

use super::key_globs::KeyGlobs;
use crate::{
    clock::Timestamp,
    key::encode,
    store::entry::{BOOKKEEPING, Entry},
};

/// Maps full keys, as bytes, to entries.
pub(crate) struct LocalTier {
    cache: Cache<Box<[u8]>, Arc<Entry>, Weight, foldhash::fast::RandomState, Evictions>,
}

impl LocalTier {
    /// A tier that holds about `bytes` of entries; 0 turns it off.
    pub(super) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(shards(bytes))
            .estimated_items_capacity(
                usize::try_from(bytes / 2048)
                    .unwrap_or(usize::MAX)
                    .min(1 << 20),
            )
            .weight_capacity(bytes)
            .build()
            .expect("every option is given");
        let lifecycle = Evictions(counter!("tower_keep_local_evictions_total"));
        Self {
            cache: Cache::with_options(options, Weight, Default::default(), lifecycle),
        }
    }

    #[inline]
    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.cache.get(key)
    }

    /// The entry, without counting that as a use, which would protect it from eviction.
    pub(super) fn peek(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.cache.peek(key)
    }

    /// Inserts an entry unless it is too large. Returns whether it was inserted; if not, an older
    /// entry under its key is removed.
    pub(super) fn insert(&self, key: &str, entry: &Arc<Entry>) -> bool {
        if self.is_off() {
            return false;
        }
        let fits = entry.weight() <= self.largest();
        if fits {
            self.cache.insert(key.as_bytes().into(), Arc::clone(entry));
        } else {
            self.remove(key);
        }
        fits
    }

    pub(super) fn remove(&self, key: &str) {
        self.cache.remove(key.as_bytes());
    }

    /// Removes `entry`, unless another entry has replaced it.
    pub(super) fn discard(&self, key: &[u8], entry: &Arc<Entry>) {
        self.cache
            .remove_if(key, |current| Arc::ptr_eq(current, entry));
    }

    /// Removes all entries whose keys match. Returns how many of them had not expired.
    pub(super) fn remove_matching(&self, globs: &KeyGlobs, now: Timestamp) -> u64 {
        let removed = AtomicU64::new(0);
        self.cache.retain(|key, entry| {
            let matches = globs.matches(encode::text(key));
            if matches && entry.expires > now {
                removed.fetch_add(1, Ordering::Relaxed);
            }
            !matches
        });
        removed.into_inner()
    }

    pub(super) fn clear(&self) {
        self.cache.clear();
    }

    pub(super) fn resize(&self, bytes: u64) {
        self.cache.set_capacity(bytes);
    }

    /// The largest weight of an entry: half of what a shard holds, so that one large body does not
    /// evict all others of its shard.
    fn largest(&self) -> u64 {
        self.cache.shard_capacity() / 2
    }

    /// Whether the tier holds nothing (`[local] size = 0`).
    pub(super) fn is_off(&self) -> bool {
        self.largest() == 0
    }
}

impl fmt::Debug for LocalTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTier")
            .field("len", &self.cache.len())
            .field("weight", &self.cache.weight())
            .finish_non_exhaustive()
    }
}

/// The number of shards: many, so that threads seldom wait for each other, but each large enough for
/// several entries of usual size.
fn shards(bytes: u64) -> usize {
    const MIN_SHARD: u64 = 4 << 20;
    usize::try_from(bytes / MIN_SHARD)
        .unwrap_or(1)
        .clamp(1, 256)
}

/// Counts evicted entries, and drops them after the shard's lock is released.
#[derive(Clone)]
struct Evictions(Counter);

impl Lifecycle<Box<[u8]>, Arc<Entry>> for Evictions {
    /// The evicted entries. `quick_cache` drops them after it has released the lock.
    type RequestState = SmallVec<[(Box<[u8]>, Arc<Entry>); 2]>;

    fn begin_request(&self) -> Self::RequestState {
        SmallVec::new()
    }

    fn on_evict(&self, state: &mut Self::RequestState, key: Box<[u8]>, entry: Arc<Entry>) {
        self.0.increment(1);
        state.push((key, entry));
    }
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry>) -> u64 {
        entry.weight() + key.len() as u64 + BOOKKEEPING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        entry::{Content, LocalState},
        position::Position,
    };

    fn entry() -> Arc<Entry> {
        Arc::new(Entry {
            content: Content::Variants(Default::default()),
            position: Position::UNKNOWN,
            stored: Timestamp(0),
            expires: Timestamp(u64::MAX),
            entity: Box::default(),
            user: None,
            tags: Box::default(),
            local: LocalState::default(),
        })
    }

    /// Regression: all but the last were dropped at once, while the lock was held.
    #[test]
    fn evicted_entries_live_until_the_end_of_the_request() {
        let evictions = Evictions(Counter::noop());
        let entries = [entry(), entry(), entry()];
        let mut evicted = evictions.begin_request();
        for entry in &entries {
            evictions.on_evict(&mut evicted, Box::default(), Arc::clone(entry));
        }
        assert!(entries.iter().all(|entry| Arc::strong_count(entry) == 2));
        evictions.end_request(evicted);
        assert!(entries.iter().all(|entry| Arc::strong_count(entry) == 1));
    }
}
