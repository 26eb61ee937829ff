//! The local tier: entries in this process, bounded by weight in bytes.

use std::{fmt, sync::Arc};

use metrics::{Counter, counter};
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use crate::{
    key::encode,
    store::entry::{BOOKKEEPING, Entry},
};

/// Entries by the bytes of their full keys. A clone of the keep shares it.
pub(crate) struct LocalTier {
    cache: Cache<Box<[u8]>, Arc<Entry>, Weight, foldhash::fast::RandomState, Evictions>,
}

impl LocalTier {
    /// At most about `bytes` of entries; 0 holds none.
    pub(crate) fn new(bytes: u64) -> Self {
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
    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<Entry>> {
        self.cache.get(key)
    }

    pub(crate) fn insert(&self, key: &str, entry: Arc<Entry>) {
        self.cache.insert(key.as_bytes().into(), entry);
    }

    pub(crate) fn remove(&self, key: &str) -> bool {
        self.cache.remove(key.as_bytes()).is_some()
    }

    /// Removes `entry` if it is still what lies there, and not what has replaced it since.
    pub(crate) fn discard(&self, key: &[u8], entry: &Arc<Entry>) {
        self.cache.remove_if(key, |there| Arc::ptr_eq(there, entry));
    }

    pub(crate) fn retain(&self, keep: impl Fn(&str, &Entry) -> bool) {
        self.cache
            .retain(|key, entry| keep(encode::text(key), entry));
    }

    pub(crate) fn clear(&self) {
        self.cache.clear();
    }

    pub(crate) fn resize(&self, bytes: u64) {
        self.cache.set_capacity(bytes);
    }

    /// The heaviest entry that is worth keeping: half of what a shard holds, so that one
    /// large body does not push out all its neighbours.
    pub(crate) fn largest(&self) -> u64 {
        self.cache.shard_capacity() / 2
    }

    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
    }
}

impl fmt::Debug for LocalTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalTier")
            .field("len", &self.len())
            .field("weight", &self.weight())
            .finish_non_exhaustive()
    }
}

/// Many shards keep threads apart; a shard must still hold some entries of ordinary size.
fn shards(bytes: u64) -> usize {
    const LEAST: u64 = 4 << 20;
    usize::try_from(bytes / LEAST).unwrap_or(1).clamp(1, 256)
}

/// Counts what was pushed out, and drops it outside the shard's lock.
#[derive(Clone)]
struct Evictions(Counter);

impl Lifecycle<Box<[u8]>, Arc<Entry>> for Evictions {
    type RequestState = Option<Arc<Entry>>;

    fn begin_request(&self) -> Self::RequestState {
        None
    }

    fn on_evict(&self, state: &mut Self::RequestState, _key: Box<[u8]>, entry: Arc<Entry>) {
        self.0.increment(1);
        *state = Some(entry);
    }
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<[u8]>, Arc<Entry>> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Arc<Entry>) -> u64 {
        entry.weight() + key.len() as u64 + BOOKKEEPING
    }
}
