use super::approximate::{ApproximateCounters, WAYS};
use crate::quota::Quota;

/// Sets of approximate counters, each for one quota of one limit. They exist only while they are
/// needed, and grow with the number of subjects.
///
/// If there are too many, other limits with the same quota use a set, too: the limit's name is part of
/// a subject's hash.
pub(super) struct ApproximateSets {
    sets: Vec<LimitCounters>,
    /// How many buckets a set may have.
    capacity: usize,
}

struct LimitCounters {
    /// The limit, by its index in the shard.
    limit: usize,
    /// Whether other limits use the set, too.
    is_shared: bool,
    counters: ApproximateCounters,
}

impl ApproximateSets {
    /// Up to `capacity` counters in a set.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            sets: Vec::new(),
            capacity: capacity.div_ceil(WAYS),
        }
    }

    /// The index of the set that counts a subject.
    pub(super) fn find(&self, limit: usize, quota: &Quota, hash: u64, now: u64) -> Option<usize> {
        self.sets.iter().position(|set| {
            (set.limit == limit || set.is_shared)
                && set.counters.quota() == quota
                && set.counters.counts(hash, now)
        })
    }

    /// The index of the set for a new subject.
    pub(super) fn room(
        &mut self,
        limit: usize,
        quota: &Quota,
        hash: u64,
        now: u64,
    ) -> Option<usize> {
        let has_quota = |set: &LimitCounters| set.counters.quota() == quota;
        let mut sets = self.sets.iter();
        if let Some(own) = sets.position(|set| set.limit == limit && has_quota(set)) {
            if !self.sets[own].counters.has_room(hash, now) {
                self.grow(own);
            }
            return Some(own);
        }
        if self.sets.len() < MAX_SETS {
            self.sets.push(LimitCounters {
                limit,
                is_shared: false,
                counters: ApproximateCounters::new(*quota, self.first_table(), now),
            });
            return Some(self.sets.len() - 1);
        }
        let shared = self.sets.iter().position(has_quota)?;
        self.sets[shared].is_shared = true;
        Some(shared)
    }

    /// Doubles a set, unless it or all of them have their whole memory.
    fn grow(&mut self, set: usize) {
        let tables = self.sets.iter().map(|set| set.counters.tables().skip(1));
        let added: usize = tables.flatten().sum();
        let left = (MAX_ADDED * self.capacity).saturating_sub(added);
        let counters = &mut self.sets[set].counters;
        let len: usize = counters.tables().sum();
        let buckets = (len + 1).min(self.capacity.saturating_sub(len)).min(left);
        if buckets > 0 {
            counters.grow(buckets);
        }
    }

    /// The first table of a set, which every limit can have.
    fn first_table(&self) -> usize {
        (self.capacity / 32).max(1)
    }

    pub(super) fn get(&self, at: usize) -> &ApproximateCounters {
        &self.sets[at].counters
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut ApproximateCounters {
        &mut self.sets[at].counters
    }

    pub(super) fn forget(&mut self, hash: u64) {
        for set in &mut self.sets {
            set.counters.forget(hash);
        }
    }

    pub(super) fn remove_expired(&mut self, now: u64) {
        self.sets.retain(|set| !set.counters.has_expired(now));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }
}

/// How many sets there may be: their first tables take the memory of eight whole sets.
const MAX_SETS: usize = 256;

/// How many whole sets the memory that is added to first tables may take.
const MAX_ADDED: usize = 8;
