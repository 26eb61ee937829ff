//! What is remembered of a key for a few seconds.

use std::{fmt, hash::BuildHasher, time::Duration};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache;

const REMEMBERED: usize = 16 * 1024;

/// Keys about which something holds for now, as hashes, bounded; who reads it must bear a
/// collision, and that it is forgotten early.
pub(crate) struct ExpiringSet {
    until: Cache<u64, u64>,
    hasher: RandomState,
}

impl ExpiringSet {
    pub(crate) fn new() -> Self {
        Self {
            until: Cache::new(REMEMBERED),
            hasher: RandomState::default(),
        }
    }

    /// From `now` on the monotonic clock, in the place of what was remembered.
    pub(crate) fn remember(&self, key: &str, now: u64, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let until = now.saturating_add(nanos);
        self.until.insert(self.hasher.hash_one(key), until);
    }

    pub(crate) fn forget(&self, key: &str) {
        self.until.remove(&self.hasher.hash_one(key));
    }

    pub(crate) fn contains(&self, key: &str, now: u64) -> bool {
        !self.until.is_empty()
            && self
                .until
                .get(&self.hasher.hash_one(key))
                .is_some_and(|until| now < until)
    }
}

impl fmt::Debug for ExpiringSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpiringSet")
            .field("len", &self.until.len())
            .finish()
    }
}
