//! A fixed number of counters under one lock.

use std::slice;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::{
    quota::{CombinedDecision, Quota, QuotaState, RuleDecision},
    store::contracts::limits::{Counter, Refund, Rule},
};

/// One shard: an index, the counters, and overflow counters for when it is full.
pub(super) struct CounterShard {
    index: HashTable<u32>,
    slots: Vec<CounterSlot>,
    capacity: usize,
    overflow: Vec<OverflowCounter>,
    rng: fastrand::Rng,
}

struct CounterSlot {
    hash: u64,
    /// Most fit inline, which saves a memory access.
    key: SmallVec<[u8; 40]>,
    /// The lengths of the subject and of the limit's name, which begin the key.
    parts: (u32, u32),
    quota: Quota,
    state: QuotaState,
}

/// The counter that all new subjects under one quota share while the shard is full.
struct OverflowCounter {
    quota: Quota,
    state: Option<QuotaState>,
}

type Places = SmallVec<[(Place, u64); 4]>;

/// The place of a rule's counter.
#[derive(Clone, Copy)]
enum Place {
    Slot(usize),
    Free,
    /// This slot, whose counter is replaced.
    Replaced(usize),
    Overflow(usize),
    /// There is no overflow counter left for the quota: new subjects are refused.
    Nowhere,
}

impl CounterShard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            capacity: capacity.min(u32::MAX as usize),
            overflow: Vec::new(),
            rng: fastrand::Rng::new(),
        }
    }

    /// [`acquire`](Self::acquire) for one rule, which nearly all requests have.
    #[inline]
    pub(super) fn acquire_one(
        &mut self,
        subject: &[u8],
        rule: &Rule<'_>,
        now: u64,
        hash: u64,
    ) -> RuleDecision {
        let Some(at) = self.find(subject, &rule.limit, hash) else {
            let rules = slice::from_ref(rule);
            return self.acquire(subject, rules, now, |_| hash).by_rule[0];
        };
        let slot = &mut self.slots[at];
        let ruling = rule.charge.decide(Some(slot.state), now);
        if ruling.charged {
            slot.quota = rule.charge.quota;
            slot.state = ruling.state;
        }
        ruling
    }

    pub(super) fn acquire(
        &mut self,
        subject: &[u8],
        rules: &[Rule<'_>],
        now: u64,
        hasher: impl Fn(&Counter<'_>) -> u64,
    ) -> CombinedDecision {
        let places = self.places(subject, rules, now, hasher);
        let states = rules.iter().zip(&places);
        let states = states.map(|(rule, (place, _))| {
            let state = self.state_at(*place, &rule.charge.quota, now);
            (rule.charge, state)
        });
        let verdict = CombinedDecision::decide(now, states);
        for ((rule, (place, hash)), ruling) in rules.iter().zip(places).zip(&verdict.by_rule) {
            if ruling.charged {
                self.write(subject, rule, hash, place, ruling);
            }
        }
        verdict
    }

    /// Finds the counters, then room for those that are missing.
    fn places(
        &mut self,
        subject: &[u8],
        rules: &[Rule<'_>],
        now: u64,
        hasher: impl Fn(&Counter<'_>) -> u64,
    ) -> Places {
        let find = |rule: &Rule<'_>| {
            let hash = hasher(&rule.limit);
            let found = self.find(subject, &rule.limit, hash);
            (found.map_or(Place::Nowhere, Place::Slot), hash)
        };
        let mut places: Places = rules.iter().map(find).collect();
        for (at, rule) in rules.iter().enumerate() {
            if matches!(places[at].0, Place::Nowhere) {
                places[at].0 = self.room(rule, now, &places);
            }
        }
        places
    }

    fn room(&mut self, rule: &Rule<'_>, now: u64, taken: &[(Place, u64)]) -> Place {
        if let Some(slot) = self.replaceable(now, taken) {
            return Place::Replaced(slot);
        }
        let new = |(place, _): &&(Place, u64)| matches!(place, Place::Free);
        if self.slots.len() + taken.iter().filter(new).count() < self.capacity {
            return Place::Free;
        }
        self.overflow(rule.charge.quota)
    }

    /// A counter that may be replaced: any whose window has passed, or, if the shard is full, the least
    /// used of a sample if it has half of its quota left.
    fn replaceable(&mut self, now: u64, taken: &[(Place, u64)]) -> Option<usize> {
        let full = self.slots.len() >= self.capacity;
        let mut least: Option<(u64, usize)> = None;
        // Two checks per new subject suffice to keep expired counters from accumulating.
        for _ in 0..if full { SAMPLE } else { 2 } {
            let at = self.rng.usize(..self.slots.len().max(1));
            let slot = self.slots.get(at)?;
            if taken.iter().any(|(place, _)| place.is_at(at)) {
                continue;
            }
            if slot.state.expires(&slot.quota) <= now {
                return Some(at);
            }
            let used = slot.used(now);
            if full && used <= HALF && least.is_none_or(|(u, _)| used < u) {
                least = Some((used, at));
            }
        }
        least.map(|(_, at)| at)
    }

    fn overflow(&mut self, quota: Quota) -> Place {
        let known = self.overflow.iter().position(|o| o.quota == quota);
        match known {
            Some(at) => Place::Overflow(at),
            None if self.overflow.len() < MAX_OVERFLOW => {
                self.overflow.push(OverflowCounter { quota, state: None });
                Place::Overflow(self.overflow.len() - 1)
            }
            None => Place::Nowhere,
        }
    }

    fn state_at(&self, place: Place, quota: &Quota, now: u64) -> Option<QuotaState> {
        match place {
            Place::Slot(at) => Some(self.slots[at].state),
            Place::Overflow(at) => self.overflow[at].state,
            Place::Free | Place::Replaced(_) => None,
            Place::Nowhere => Some(QuotaState::spent(quota, now)),
        }
    }

    fn write(
        &mut self,
        subject: &[u8],
        rule: &Rule<'_>,
        hash: u64,
        place: Place,
        ruling: &RuleDecision,
    ) {
        match place {
            Place::Slot(at) => {
                let slot = &mut self.slots[at];
                slot.quota = rule.charge.quota;
                slot.state = ruling.state;
            }
            Place::Overflow(at) => self.overflow[at].state = Some(ruling.state),
            Place::Nowhere => {}
            Place::Free => {
                self.slots
                    .push(CounterSlot::new(subject, rule, hash, ruling));
                self.link(self.slots.len() - 1);
            }
            Place::Replaced(at) => {
                self.unlink(at);
                self.slots[at] = CounterSlot::new(subject, rule, hash, ruling);
                self.link(at);
            }
        }
    }

    pub(super) fn refund(&mut self, subject: &[u8], refund: &Refund<'_>, now: u64, hash: u64) {
        let Some(at) = self.find(subject, &refund.limit, hash) else {
            return;
        };
        let state = &mut self.slots[at].state;
        *state = state.refund(&refund.quota, now, refund.anchor, refund.cost);
    }

    pub(super) fn state(
        &self,
        subject: &[u8],
        limit: &Counter<'_>,
        hash: u64,
    ) -> Option<QuotaState> {
        let at = self.find(subject, limit, hash)?;
        Some(self.slots[at].state)
    }

    pub(super) fn forget(&mut self, subject: &[u8], limit: &Counter<'_>, hash: u64) {
        let Some(at) = self.find(subject, limit, hash) else {
            return;
        };
        let last = self.slots.len() - 1;
        self.unlink(at);
        if at != last {
            self.unlink(last);
        }
        self.slots.swap_remove(at);
        if at != last {
            self.link(at);
        }
    }

    fn find(&self, subject: &[u8], limit: &Counter<'_>, hash: u64) -> Option<usize> {
        let is = |at: &u32| self.slots[*at as usize].is(subject, limit);
        self.index.find(hash, is).map(|at| *at as usize)
    }

    fn link(&mut self, at: usize) {
        let Ok(id) = u32::try_from(at) else { return };
        let slots = &self.slots;
        self.index
            .insert_unique(slots[at].hash, id, |i| slots[*i as usize].hash);
    }

    fn unlink(&mut self, at: usize) {
        let found = self
            .index
            .find_entry(self.slots[at].hash, |i| *i as usize == at);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.overflow.len()
    }
}

impl Place {
    fn is_at(self, slot: usize) -> bool {
        matches!(self, Self::Slot(at) | Self::Replaced(at) if at == slot)
    }
}

impl CounterSlot {
    fn new(subject: &[u8], rule: &Rule<'_>, hash: u64, ruling: &RuleDecision) -> Self {
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
            quota: rule.charge.quota,
            state: ruling.state,
        }
    }

    fn is(&self, subject: &[u8], limit: &Counter<'_>) -> bool {
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

    /// The used part of the quota, in 1024ths.
    fn used(&self, now: u64) -> u64 {
        let capacity = self.quota.capacity();
        let (_, outcome) = QuotaState::decide(Some(self.state), &self.quota, now, None);
        let used = capacity.saturating_sub(outcome.remaining);
        (used * 1024).checked_div(capacity).unwrap_or(1024)
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// How many counters are compared to find one that can be replaced.
const SAMPLE: usize = 16;

/// How many quotas can have an overflow counter at the same time.
const MAX_OVERFLOW: usize = 64;

/// Half of a quota, in the unit of [`CounterSlot::used`].
const HALF: u64 = 512;
