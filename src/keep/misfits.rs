//! Keys whose answers turned out not to be shareable: remembered briefly, so that nobody waits for
//! an answer that will not be shared.

use std::{fmt, hash::BuildHasher, time::Duration};

use foldhash::fast::RandomState;
use quick_cache::sync::Cache;

const REMEMBERED: usize = 16 * 1024;
const FOR: Duration = Duration::from_secs(10);

/// A bounded memory of hashes; a collision only costs a collapse.
pub(crate) struct Misfits {
    until: Cache<u64, u64>,
    hasher: RandomState,
}

impl Misfits {
    pub(crate) fn new() -> Self {
        Self {
            until: Cache::new(REMEMBERED),
            hasher: RandomState::default(),
        }
    }

    pub(crate) fn remember(&self, key: &str, now: u64) {
        let until = now.saturating_add(FOR.as_nanos() as u64);
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

impl fmt::Debug for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Misfits").field("len", &self.until.len()).finish()
    }
}
