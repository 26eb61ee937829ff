use smallvec::SmallVec;

use crate::{
    quota::{Quota, QuotaState},
    store::contracts::limits::{Counter, Rule},
};

/// The exact counter of one subject under one limit.
pub(super) struct CounterSlot {
    pub(super) hash: u64,
    /// Most fit inline, which saves a memory access.
    key: SmallVec<[u8; 40]>,
    /// The lengths of the subject and of the limit's name, which begin the key.
    parts: (u32, u32),
    /// The limit, by its index in the shard.
    pub(super) limit: usize,
    pub(super) quota: Quota,
    pub(super) state: QuotaState,
}

impl CounterSlot {
    pub(super) fn new(
        subject: &[u8],
        rule: &Rule<'_>,
        hash: u64,
        limit: usize,
        state: QuotaState,
    ) -> Self {
        let name = rule.limit.name.as_bytes();
        let parts = [subject, name, rule.limit.rest];
        let mut key = SmallVec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            key.extend_from_slice(part);
        }
        Self {
            hash,
            key,
            parts: (length(subject), length(name)),
            limit,
            quota: rule.charge.quota,
            state,
        }
    }

    pub(super) fn is(&self, subject: &[u8], limit: &Counter<'_>) -> bool {
        let name = limit.name.as_bytes();
        let parts = (self.parts.0 as usize, self.parts.1 as usize);
        let whole = subject.len() + name.len() + limit.rest.len();
        if parts != (subject.len(), name.len()) || self.key.len() != whole {
            return false;
        }
        let (first, others) = self.key.split_at(subject.len());
        let (second, third) = others.split_at(name.len());
        // Most counters have no third part.
        first == subject && second == name && (third.is_empty() || third == limit.rest)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
