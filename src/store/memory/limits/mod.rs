//! Limits in one process: sharded, bounded, and never freeing a limited subject to make room.

mod shard;

use std::{
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    quota::{CombinedDecision, RuleDecision},
    store::contracts::limits::{Counter, Refund, Rule},
};
use shard::Shard;

/// Counters of one process.
///
/// All rules of a subject lie in one shard, so one lock makes a decision atomic. Each shard holds a
/// fixed number of counters. When it is full, a new subject takes the place of one whose window has
/// passed, or else of one that has used no more than half of its quota (the least used of a
/// sample). Where there is no such place, newcomers share overflow counters: they may be refused for
/// what others used, but nobody is freed.
pub(crate) struct MemoryLimits {
    shards: Box<[Padded]>,
    hasher: foldhash::quality::RandomState,
}

type SubjectHash = foldhash::quality::FoldHasher<'static>;

/// A cache line of its own for each lock.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

/// Counters of a store unless said otherwise: some 20 MB when full.
pub(crate) const DEFAULT_CAPACITY: usize = 1 << 17;

const SHARDS: usize = 128;

/// Counters of a shard at least: a sample of fewer says little.
const LEAST: usize = 64;

impl MemoryLimits {
    /// A store of at most `capacity` counters (and a few shared ones per quota when it is full).
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = (capacity / LEAST).clamp(1, SHARDS);
        let each = capacity.div_ceil(shards).max(1);
        Self {
            shards: (0..shards)
                .map(|_| Padded(Mutex::new(Shard::new(each))))
                .collect(),
            hasher: foldhash::quality::RandomState::default(),
        }
    }

    /// Charges the only rule of a subject, if it admits.
    pub(crate) fn acquire_one(&self, subject: &[u8], rule: &Rule<'_>, now: u64) -> RuleDecision {
        let hash = self.hash(subject);
        let counter = mix(&hash, &rule.limit);
        self.shard(&hash).acquire_one(subject, rule, now, counter)
    }

    /// Charges every rule, or none of them if one that is no shadow refuses.
    pub(crate) fn acquire(&self, subject: &[u8], rules: &[Rule<'_>], now: u64) -> CombinedDecision {
        let hash = self.hash(subject);
        let hasher = |limit: &Counter<'_>| mix(&hash, limit);
        self.shard(&hash).acquire(subject, rules, now, hasher)
    }

    /// Gives back what was charged, as far as it still counts.
    pub(crate) fn refund(&self, subject: &[u8], refunds: &[Refund<'_>], now: u64) {
        let hash = self.hash(subject);
        let mut shard = self.shard(&hash);
        for refund in refunds {
            shard.refund(subject, refund, now, mix(&hash, &refund.limit));
        }
    }

    /// What is left, without charging.
    pub(crate) fn peek(&self, subject: &[u8], rules: &[Rule<'_>], now: u64) -> CombinedDecision {
        let hash = self.hash(subject);
        let shard = self.shard(&hash);
        let state = |rule: &Rule<'_>| {
            let state = shard.state(subject, &rule.limit, mix(&hash, &rule.limit));
            (rule.charge.quota, state)
        };
        CombinedDecision::peek(now, rules.iter().map(state))
    }

    /// Forgets what was used.
    pub(crate) fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) {
        let hash = self.hash(subject);
        let mut shard = self.shard(&hash);
        for rule in rules {
            shard.forget(subject, &rule.limit, mix(&hash, &rule.limit));
        }
    }

    /// Counters there are, shared ones included.
    #[cfg(test)]
    fn len(&self) -> usize {
        let shard = |shard: &Padded| shard.0.lock().expect("no panic").len();
        self.shards.iter().map(shard).sum()
    }

    fn hash(&self, subject: &[u8]) -> SubjectHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject);
        hasher
    }

    fn shard(&self, subject: &SubjectHash) -> MutexGuard<'_, Shard> {
        // the upper half of the product is below their number, without a division
        let index = (u128::from(subject.finish()) * self.shards.len() as u128) >> 64;
        let lock = self.shards[usize::try_from(index).unwrap_or(0)].0.lock();
        // a shard is consistent at every step
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of a counter, which goes on where its subject's ended.
#[inline]
fn mix(subject: &SubjectHash, limit: &Counter<'_>) -> u64 {
    let mut hasher = subject.clone();
    hasher.write(limit.name.as_bytes());
    if !limit.rest.is_empty() {
        hasher.write(limit.rest);
    }
    hasher.finish()
}

impl fmt::Debug for MemoryLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimits").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
