//! A bounded set of keys that expire after a few seconds.

use std::{hash::BuildHasher, time::Duration};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache;

use crate::clock::nanos;

const CAPACITY: usize = 16 * 1024;

/// A set of keys that expire. It stores hashes, and at most a fixed number of them: a caller must
/// tolerate that another key collides, and that a key is dropped early.
pub(crate) struct ExpiringSet {
    until: Cache<u64, u64>,
    hasher: RandomState,
}

impl ExpiringSet {
    pub(crate) fn new() -> Self {
        Self {
            until: Cache::new(CAPACITY),
            hasher: RandomState::default(),
        }
    }

    /// Adds a key for `time` from `now`, on the monotonic clock.
    pub(crate) fn insert(&self, key: &str, now: u64, time: Duration) {
        let until = now.saturating_add(nanos(time));
        self.until.insert(self.hasher.hash_one(key), until);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.until.remove(&self.hasher.hash_one(key));
    }

    pub(crate) fn contains(&self, key: &str, now: u64) -> bool {
        if self.until.is_empty() {
            return false;
        }
        let until = self.until.get(&self.hasher.hash_one(key));
        until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_expire_and_can_be_removed() {
        let set = ExpiringSet::new();
        set.insert("a", 100, Duration::from_nanos(10));
        assert!(set.contains("a", 109) && !set.contains("a", 110));
        assert!(!set.contains("b", 100));
        set.insert("a", 105, Duration::from_nanos(10));
        assert!(set.contains("a", 110));
        set.remove("a");
        assert!(!set.contains("a", 105));
    }
}
