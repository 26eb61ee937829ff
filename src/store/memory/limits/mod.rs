//! Limits in one process: counters in shards of bounded size. A subject that has used up its quota is
//! never removed to make room.

mod approximate;
mod approximate_sets;
mod shard;
mod slot;

use std::{
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    quota::{CombinedDecision, RuleDecision},
    store::contracts::limits::{Counter, Refund, Rule},
};
use shard::CounterShard;

/// Counters of one process.
///
/// All counters of a subject are in one shard, so one lock makes a decision atomic. Each shard holds
/// a fixed number of exact counters, of which one limit takes at most half. If there is no room, a new
/// subject replaces a counter whose window has passed, or else is counted approximately, in memory of
/// the limit's own: it is refused earlier than necessary only if it uses more than half of its quota,
/// or more than a million subjects use more than half of theirs, and admitted beyond it only if more
/// than a million subjects have counters, of which those that are at most half used are replaced.
///
/// This is not an implementation of [`Limits`](crate::store::contracts::limits::Limits), because that
/// contract leaves the time to the store and returns a boxed future, while here the caller passes its
/// own time and gets the decision at once, without an allocation.
pub(crate) struct MemoryLimits {
    shards: Box<[PaddedShard]>,
    hasher: foldhash::quality::RandomState,
}

type SubjectHash = foldhash::quality::FoldHasher<'static>;

/// Aligned so that each lock has a cache line of its own.
#[repr(align(128))]
struct PaddedShard(Mutex<CounterShard>);

impl MemoryLimits {
    /// Up to `capacity` exact counters, and ten times as many approximate ones for each limit that needs
    /// them.
    pub(crate) fn new(capacity: usize) -> Self {
        let shards = (capacity / MIN_SHARD_CAPACITY).clamp(1, MAX_SHARDS);
        let each = capacity.div_ceil(shards).max(1);
        Self {
            shards: (0..shards)
                .map(|_| PaddedShard(Mutex::new(CounterShard::new(each))))
                .collect(),
            hasher: foldhash::quality::RandomState::default(),
        }
    }

    /// Charges the only rule of a subject if it admits.
    pub(crate) fn acquire_one(&self, subject: &[u8], rule: &Rule<'_>, now: u64) -> RuleDecision {
        let hash = self.hash(subject);
        let counter = mix(&hash, &rule.limit);
        self.shard(&hash).acquire_one(subject, rule, now, counter)
    }

    /// Charges all rules, or none if a non-shadow rule refuses.
    pub(crate) fn acquire(&self, subject: &[u8], rules: &[Rule<'_>], now: u64) -> CombinedDecision {
        let hash = self.hash(subject);
        let hasher = |limit: &Counter<'_>| mix(&hash, limit);
        self.shard(&hash).acquire(subject, rules, now, hasher)
    }

    /// Gives back charges that still count and were counted exactly.
    pub(crate) fn refund(&self, subject: &[u8], refunds: &[Refund<'_>], now: u64) {
        let hash = self.hash(subject);
        let mut shard = self.shard(&hash);
        for refund in refunds {
            shard.refund(subject, refund, now, mix(&hash, &refund.limit));
        }
    }

    /// Returns the remaining quota, without charging.
    pub(crate) fn peek(&self, subject: &[u8], rules: &[Rule<'_>], now: u64) -> CombinedDecision {
        let hash = self.hash(subject);
        let shard = self.shard(&hash);
        let state = |rule: &Rule<'_>| {
            let state = shard.state(subject, rule, mix(&hash, &rule.limit), now);
            (rule.charge.quota, state)
        };
        CombinedDecision::peek(now, rules.iter().map(state))
    }

    /// Removes the counters.
    pub(crate) fn reset(&self, subject: &[u8], rules: &[Rule<'_>]) {
        let hash = self.hash(subject);
        let mut shard = self.shard(&hash);
        for rule in rules {
            shard.forget(subject, &rule.limit, mix(&hash, &rule.limit));
        }
    }

    /// The number of exact counters, and of sets of approximate ones.
    #[cfg(test)]
    fn size(&self) -> (usize, usize) {
        let shards = self.shards.iter();
        let sizes = shards.map(|shard| shard.0.lock().expect("no panic").size());
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }

    fn hash(&self, subject: &[u8]) -> SubjectHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(subject);
        hasher
    }

    fn shard(&self, subject: &SubjectHash) -> MutexGuard<'_, CounterShard> {
        // The upper half of the product is below the number of shards; this avoids a division.
        let index = (u128::from(subject.finish()) * self.shards.len() as u128) >> 64;
        let lock = self.shards[usize::try_from(index).unwrap_or(0)].0.lock();
        // A shard is consistent at every step, so poisoning can be ignored.
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of a counter: continues the hash of its subject.
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

/// The default capacity of exact counters, which take some 26 MB when full, and 12 bytes for each
/// admission beyond three that a sliding window contains.
pub(crate) const DEFAULT_CAPACITY: usize = 1 << 17;

const MAX_SHARDS: usize = 128;

/// Smaller shards would make too small a sample.
const MIN_SHARD_CAPACITY: usize = 64;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod tests;
