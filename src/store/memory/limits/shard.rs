//! A fixed number of counters under one lock.

use std::slice;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{approximate_sets::ApproximateSets, slot::CounterSlot};
use crate::{
    quota::{CombinedDecision, Quota, QuotaState, RuleDecision},
    store::contracts::limits::{Counter, Refund, Rule},
};

/// One shard: an index, the exact counters, and approximate ones for the subjects that find no room.
///
/// A limit may have half of the exact counters, so that a flood of one limit's subjects leaves room for
/// those of others.
pub(super) struct CounterShard {
    index: HashTable<u32>,
    slots: Vec<CounterSlot>,
    capacity: usize,
    limits: Vec<LimitUse>,
    approximate: ApproximateSets,
    rng: fastrand::Rng,
}

/// The exact counters of one limit.
struct LimitUse {
    name: Box<str>,
    slots: usize,
}

type Places = SmallVec<[(Place, u64); 4]>;

/// The place of a rule's counter.
#[derive(Clone, Copy)]
enum Place {
    Slot(usize),
    /// A new slot for a counter of this limit.
    Free(usize),
    /// This slot, whose counter is replaced by one of this limit.
    Replaced(usize, usize),
    /// The index in the approximate sets.
    Approximate(usize),
    /// There are no counters for the quota: new subjects are refused.
    Nowhere,
}

impl CounterShard {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            index: HashTable::new(),
            slots: Vec::new(),
            capacity: capacity.min(u32::MAX as usize),
            limits: Vec::new(),
            approximate: ApproximateSets::new(capacity.saturating_mul(APPROXIMATE_PER_EXACT)),
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
        let ruling = rule.charge.decide(&mut slot.state, now);
        if ruling.charged {
            slot.quota = rule.charge.quota;
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
        let mut states: SmallVec<[_; 2]> = states
            .map(|(rule, (place, hash))| {
                let state = self.state_at(*place, *hash, &rule.charge.quota, now);
                (rule.charge, state)
            })
            .collect();
        let verdict = CombinedDecision::decide(now, &mut states);
        let decided = states.into_iter().zip(&verdict.by_rule);
        for ((rule, place), ((_, state), ruling)) in rules.iter().zip(places).zip(decided) {
            self.write(subject, rule, place, state, ruling.charged, now);
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
        // After a flood, its memory is given back.
        self.approximate.remove_expired(now);
        for (at, rule) in rules.iter().enumerate() {
            if matches!(places[at].0, Place::Nowhere) {
                places[at].0 = self.room(rule, places[at].1, now, &places);
            }
        }
        places
    }

    fn room(&mut self, rule: &Rule<'_>, hash: u64, now: u64, taken: &[(Place, u64)]) -> Place {
        let quota = &rule.charge.quota;
        let limit = self.limit(rule.limit.name);
        if let Some(at) = self.approximate.find(limit, quota, hash, now) {
            return Place::Approximate(at);
        }
        let has_share = self.limits[limit].slots < self.capacity.div_ceil(2);
        if let Some(slot) = self.replaceable(limit, has_share, now, taken) {
            return Place::Replaced(slot, limit);
        }
        let new = |(place, _): &&(Place, u64)| matches!(place, Place::Free(_));
        if has_share && self.slots.len() + taken.iter().filter(new).count() < self.capacity {
            return Place::Free(limit);
        }
        self.approximate
            .room(limit, quota, hash, now)
            .map_or(Place::Nowhere, Place::Approximate)
    }

    /// The index of a limit, which is added if it is new.
    fn limit(&mut self, name: &str) -> usize {
        self.known_limit(name).unwrap_or_else(|| {
            self.limits.push(LimitUse {
                name: name.into(),
                slots: 0,
            });
            self.limits.len() - 1
        })
    }

    /// The index of a limit. Those beyond [`MAX_LIMITS`], which only code can name, count as one.
    fn known_limit(&self, name: &str) -> Option<usize> {
        let known = self.limits.iter().position(|limit| *limit.name == *name);
        known.or_else(|| (self.limits.len() >= MAX_LIMITS).then_some(MAX_LIMITS - 1))
    }

    /// A counter whose window has passed, of a sample; any limit's if this one has less than its share.
    fn replaceable(
        &mut self,
        limit: usize,
        has_share: bool,
        now: u64,
        taken: &[(Place, u64)],
    ) -> Option<usize> {
        let is_full = !has_share || self.slots.len() >= self.capacity;
        // Two checks per new subject suffice to keep expired counters from accumulating.
        for _ in 0..if is_full { SAMPLE } else { 2 } {
            let at = self.rng.usize(..self.slots.len().max(1));
            let slot = self.slots.get(at)?;
            let is_taken = taken.iter().any(|(place, _)| place.is_at(at));
            let is_allowed = has_share || slot.limit == limit;
            if is_allowed && !is_taken && slot.state.expires(&slot.quota) <= now {
                return Some(at);
            }
        }
        None
    }

    fn state_at(&self, place: Place, hash: u64, quota: &Quota, now: u64) -> QuotaState {
        match place {
            Place::Slot(at) => self.slots[at].state.clone(),
            Place::Approximate(at) => self.approximate.get(at).state(hash, now),
            Place::Free(_) | Place::Replaced(..) => QuotaState::fresh(quota, now),
            Place::Nowhere => QuotaState::after_use(quota, now, quota.capacity()),
        }
    }

    fn write(
        &mut self,
        subject: &[u8],
        rule: &Rule<'_>,
        (place, hash): (Place, u64),
        state: QuotaState,
        charged: bool,
        now: u64,
    ) {
        match place {
            Place::Slot(at) => {
                let slot = &mut self.slots[at];
                slot.state = state;
                if charged {
                    slot.quota = rule.charge.quota;
                }
            }
            _ if !charged => {}
            Place::Approximate(at) => {
                self.approximate
                    .get_mut(at)
                    .charge(hash, now, rule.charge.cost);
            }
            Place::Nowhere => {}
            Place::Free(limit) => {
                self.slots
                    .push(CounterSlot::new(subject, rule, hash, limit, state));
                self.link(self.slots.len() - 1);
            }
            Place::Replaced(at, limit) => {
                self.unlink(at);
                self.slots[at] = CounterSlot::new(subject, rule, hash, limit, state);
                self.link(at);
            }
        }
    }

    /// Approximate counters take no refunds: the charge may have been counted in a window that has
    /// passed.
    pub(super) fn refund(&mut self, subject: &[u8], refund: &Refund<'_>, now: u64, hash: u64) {
        let Some(at) = self.find(subject, &refund.limit, hash) else {
            return;
        };
        let state = &mut self.slots[at].state;
        state.refund(&refund.quota, now, refund.anchor, refund.cost);
    }

    pub(super) fn state(&self, subject: &[u8], rule: &Rule<'_>, hash: u64, now: u64) -> QuotaState {
        let quota = &rule.charge.quota;
        if let Some(at) = self.find(subject, &rule.limit, hash) {
            return self.slots[at].state.clone();
        }
        let limit = self.known_limit(rule.limit.name);
        let find = |limit| self.approximate.find(limit, quota, hash, now);
        match limit.and_then(find) {
            Some(at) => self.approximate.get(at).state(hash, now),
            None => QuotaState::fresh(quota, now),
        }
    }

    pub(super) fn forget(&mut self, subject: &[u8], limit: &Counter<'_>, hash: u64) {
        self.approximate.forget(hash);
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
        self.limits[slots[at].limit].slots += 1;
        self.index
            .insert_unique(slots[at].hash, id, |i| slots[*i as usize].hash);
    }

    fn unlink(&mut self, at: usize) {
        self.limits[self.slots[at].limit].slots -= 1;
        let found = self
            .index
            .find_entry(self.slots[at].hash, |i| *i as usize == at);
        if let Ok(entry) = found {
            entry.remove();
        }
    }

    /// The number of exact counters, and of sets of approximate ones.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.approximate.len())
    }
}

impl Place {
    fn is_at(self, slot: usize) -> bool {
        matches!(self, Self::Slot(at) | Self::Replaced(at, _) if at == slot)
    }
}

/// How many counters are compared to find one that can be replaced.
const SAMPLE: usize = 16;

/// How many limits have a share of their own.
const MAX_LIMITS: usize = 256;

/// How many approximate counters a set has for each exact one of the shard. With the default capacity,
/// a flood of one limit takes 16 MB, and floods of all 250 MB.
const APPROXIMATE_PER_EXACT: usize = 10;
