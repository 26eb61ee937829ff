//! Counters of a few bytes, for the subjects that find no room for an exact one.

use crate::quota::{Quota, QuotaState};

/// Approximate counters of one quota, in bounded memory.
///
/// A counter counts in windows, and what was used in the previous window counts whole. So while it is
/// not replaced, its subject is admitted no more than its quota in any window, by whatever algorithm, and
/// a subject that uses no more than half of its quota is never refused because of its own use.
///
/// A counter belongs to the hash of a subject. A newcomer is wrongly refused if its hash resembles that
/// of a limited subject, one of several thousand, or if there is no room for it. Each hash has two
/// buckets in each table, of which the emptier one takes a newcomer. If both are full, a counter that
/// has used at most half of the quota is replaced, and its subject begins anew.
#[derive(Debug)]
pub(super) struct ApproximateCounters {
    quota: Quota,
    /// The length of a window, in microseconds.
    window: u64,
    /// How many quota units are counted as one, so that the capacity fits in 32 bits.
    unit: u64,
    tables: Vec<Box<[Bucket]>>,
    /// The time from which no counter counts.
    expires: u64,
}

type Bucket = [ApproximateCounter; WAYS];

/// What the subjects with one hash have used.
#[derive(Clone, Copy, Debug, Default)]
struct ApproximateCounter {
    current: u32,
    previous: u32,
    /// The number of the current window. It wraps, so that a counter that was not used for 65,536
    /// windows may count once more.
    window: u16,
    tag: u16,
}

/// The place of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    table: usize,
    bucket: usize,
    way: usize,
}

/// The counter of a subject.
enum Room {
    /// The subject's counter, and what it has used.
    Own(u32, Position),
    /// A counter that is unused.
    Unused(Position),
    /// All counters are in use; this one may be replaced.
    Replaceable(Position),
    /// All counters are in use.
    None,
}

impl ApproximateCounters {
    /// `buckets` of eight counters, 96 bytes each.
    pub(super) fn new(quota: Quota, buckets: usize, now: u64) -> Self {
        // The time in which the whole quota becomes available again: with a burst, GCRA's differs from
        // the quota's window.
        let refill = u128::from(quota.window_micros()) * u128::from(quota.capacity())
            / u128::from(quota.limit().max(1));
        let mut counters = Self {
            quota,
            window: u64::try_from(refill).unwrap_or(u64::MAX).max(1),
            unit: quota.capacity() / u64::from(u32::MAX) + 1,
            tables: Vec::new(),
            expires: 0,
        };
        counters.grow(buckets);
        counters.keep_from(now);
        counters
    }

    /// Adds a table.
    pub(super) fn grow(&mut self, buckets: usize) {
        let buckets = buckets.clamp(1, 1 << 24);
        self.tables.push(vec![Bucket::default(); buckets].into());
    }

    /// The sizes of the tables, in buckets.
    pub(super) fn tables(&self) -> impl Iterator<Item = usize> {
        self.tables.iter().map(|table| table.len())
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Whether the subject has a counter.
    pub(super) fn counts(&self, hash: u64, now: u64) -> bool {
        matches!(self.room(hash, self.window_at(now)), Room::Own(..))
    }

    /// Whether the subject has a counter, or can get one without replacing another.
    pub(super) fn has_room(&self, hash: u64, now: u64) -> bool {
        let room = self.room(hash, self.window_at(now));
        matches!(room, Room::Own(..) | Room::Unused(_))
    }

    /// What the subject has used: its whole quota if there is no room to count it.
    pub(super) fn state(&self, hash: u64, now: u64) -> QuotaState {
        let window = self.window_at(now);
        let used = match self.room(hash, window) {
            Room::Own(used, _) => u64::from(used).saturating_mul(self.unit),
            Room::Unused(_) | Room::Replaceable(_) => return QuotaState::fresh(&self.quota, now),
            Room::None => self.quota.capacity(),
        };
        QuotaState::after_use(&self.quota, now, used)
    }

    /// Counts an admitted use of `cost` quota units.
    pub(super) fn charge(&mut self, hash: u64, now: u64, cost: u64) {
        let window = self.window_at(now);
        let at = match self.room(hash, window) {
            Room::Own(_, at) => at,
            Room::Unused(at) | Room::Replaceable(at) => {
                self.tables[at.table][at.bucket][at.way] = ApproximateCounter {
                    window,
                    tag: tag(hash),
                    ..ApproximateCounter::default()
                };
                at
            }
            Room::None => return,
        };
        let units = u32::try_from(cost.div_ceil(self.unit)).unwrap_or(u32::MAX);
        self.tables[at.table][at.bucket][at.way].charge(window, units);
        self.keep_from(now);
    }

    pub(super) fn forget(&mut self, hash: u64) {
        for table in &mut self.tables {
            for bucket in buckets_of(hash, table.len()) {
                let counters = table[bucket].iter_mut();
                for counter in counters.filter(|counter| counter.tag == tag(hash)) {
                    *counter = ApproximateCounter::default();
                }
            }
        }
    }

    /// Whether no counter counts any more.
    pub(super) fn has_expired(&self, now: u64) -> bool {
        self.expires <= now
    }

    fn room(&self, hash: u64, window: u16) -> Room {
        let mut own = None;
        let (mut unused, mut replaceable) = (None, None);
        for (table, buckets) in self.tables.iter().enumerate() {
            // The bucket with the fewest counters in use, of two full ones that with the least used
            // counter.
            let mut best = (WAYS, u32::MAX, Position::default());
            for bucket in buckets_of(hash, buckets.len()) {
                let (mut in_use, mut least) = (0, (u32::MAX, 0));
                for (way, counter) in buckets[bucket].iter().enumerate() {
                    let used = counter.used(window);
                    if used > 0 && counter.tag == tag(hash) {
                        // Of several subjects that resemble each other, the most limited one counts.
                        own = own.max(Some((used, Position { table, bucket, way })));
                    }
                    in_use += usize::from(used > 0);
                    least = least.min((used, way));
                }
                let way = least.1;
                best = best.min((in_use, least.0, Position { table, bucket, way }));
            }
            if best.0 < WAYS {
                unused = unused.or(Some(best.2));
            } else if u64::from(best.1) <= self.quota.capacity() / self.unit / 2 {
                replaceable = replaceable.or(Some(best.2));
            }
        }
        match (own, unused, replaceable) {
            (Some((used, at)), ..) => Room::Own(used, at),
            (None, Some(at), _) => Room::Unused(at),
            (None, None, Some(at)) => Room::Replaceable(at),
            (None, None, None) => Room::None,
        }
    }

    /// Keeps the counters for as long as a charge at `now` counts.
    fn keep_from(&mut self, now: u64) {
        let end = (now / self.window).saturating_add(2);
        self.expires = end.saturating_mul(self.window);
    }

    /// The number of the window at `now`.
    fn window_at(&self, now: u64) -> u16 {
        let [.., high, low] = (now / self.window).to_be_bytes();
        u16::from_be_bytes([high, low])
    }
}

impl ApproximateCounter {
    /// The units that count in a window.
    fn used(&self, window: u16) -> u32 {
        match window.wrapping_sub(self.window) {
            0 => self.current.saturating_add(self.previous),
            1 => self.current,
            _ => 0,
        }
    }

    fn charge(&mut self, window: u16, units: u32) {
        (self.previous, self.current) = match window.wrapping_sub(self.window) {
            0 => (self.previous, self.current),
            1 => (self.current, 0),
            _ => (0, 0),
        };
        self.window = window;
        self.current = self.current.saturating_add(units);
    }
}

/// The two buckets of a hash, of so many, by bits that [`tag`] does not use.
fn buckets_of(hash: u64, buckets: usize) -> [usize; 2] {
    let bucket =
        |bits: u64| usize::try_from(((bits & 0xFF_FFFF) * buckets as u64) >> 24).unwrap_or(0);
    [bucket(hash), bucket(hash >> 24)]
}

fn tag(hash: u64) -> u16 {
    let [first, second, ..] = hash.to_be_bytes();
    u16::from_be_bytes([first, second])
}

/// How many counters a bucket has.
pub(super) const WAYS: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::quota::{Charge, tests::ALGORITHMS};

    fn admits(counters: &mut ApproximateCounters, hash: u64, now: u64, cost: u64) -> bool {
        let charge = Charge {
            quota: counters.quota,
            cost,
            shadow: false,
        };
        let decision = charge.decide(&mut counters.state(hash, now), now);
        if decision.charged {
            counters.charge(hash, now, cost);
        }
        decision.charged
    }

    #[test]
    fn no_window_admits_more_than_the_limit() {
        for algorithm in ALGORITHMS {
            let quota = Quota::per_second(7).counted_by(algorithm);
            let mut counters = ApproximateCounters::new(quota, 8, 0);
            let rng = &mut fastrand::Rng::with_seed(5);
            let (mut now, mut admitted) = (1_000, VecDeque::new());
            for _ in 0..20_000 {
                now += rng.u64(0..200_000);
                let cost = rng.u64(1..4);
                if admits(&mut counters, 1 << 50, now, cost) {
                    admitted.push_back((now, cost));
                }
                while admitted
                    .front()
                    .is_some_and(|(at, _)| at + 1_000_000 <= now)
                {
                    admitted.pop_front();
                }
                let sum: u64 = admitted.iter().map(|(_, cost)| cost).sum();
                assert!(sum <= 7, "{algorithm:?}: {sum}");
            }
            assert!(!admitted.is_empty(), "{algorithm:?} admits nothing");
        }
    }

    #[test]
    fn a_subject_that_uses_half_of_its_quota_is_always_admitted() {
        for quota in [
            Quota::per_second(8),
            Quota::per_second(8).burst(2),
            Quota::per_minute(480).burst(1_000),
        ] {
            let mut counters = ApproximateCounters::new(quota, 8, 0);
            for n in 0..1_000 {
                assert!(admits(&mut counters, 9, n * 250_001, 1), "{quota:?} {n}");
            }
        }
    }

    #[test]
    fn large_costs_and_limits_are_counted() {
        let limit = crate::quota::MAX_LIMIT;
        let quota = Quota::new(limit, std::time::Duration::from_secs(60)).expect("in range");
        let mut counters = ApproximateCounters::new(quota, 8, 0);
        assert!(admits(&mut counters, 9, 5, limit / 2));
        assert!(!admits(&mut counters, 9, 5, limit / 2 + 1));
        assert!(admits(&mut counters, 9, 5, limit / 4));
        assert!(!admits(&mut counters, 9, 6, limit));
    }

    #[test]
    fn a_limited_subject_is_not_replaced_and_a_newcomer_without_room_is_refused() {
        let quota = Quota::per_hour(4);
        let mut counters = ApproximateCounters::new(quota, 1, 0);
        let hash = |n: u64| n << 48;
        for n in 0..8 {
            assert!(admits(&mut counters, hash(n), 5, 3));
        }
        assert!(!admits(&mut counters, hash(8), 5, 1), "no room");
        for n in 0..8 {
            assert!(!admits(&mut counters, hash(n), 5, 2), "{n} was freed");
        }
        counters.forget(hash(3));
        assert!(admits(&mut counters, hash(8), 5, 1));
        assert!(admits(&mut counters, hash(9), 5, 1), "8 has used a quarter");
        assert!(!counters.has_expired(5));
        assert!(counters.has_expired(5 + 2 * quota.window_micros()));
    }

    /// Regression: of two counters with the subject's tag the first was taken, so that a newcomer in the
    /// subject's other bucket freed it.
    #[test]
    fn a_newcomer_with_the_same_tag_does_not_free_a_limited_subject() {
        let quota = Quota::per_hour(4);
        let mut counters = ApproximateCounters::new(quota, 4, 0);
        // Buckets 3 and 0, of which 0 is taken, and bucket 3 twice.
        let (limited, newcomer) = (0xFF_FFFF, 0xFFFF_FFFF_FFFF);
        for n in 0..2 {
            assert!(admits(&mut counters, limited, 5 + n, 2));
        }
        assert!(!admits(&mut counters, limited, 9, 1));
        admits(&mut counters, newcomer, 9, 1);
        assert!(!admits(&mut counters, limited, 9, 1));
    }

    #[test]
    fn another_table_makes_room() {
        let quota = Quota::per_hour(1);
        let mut counters = ApproximateCounters::new(quota, 1, 0);
        for n in 0..8 {
            assert!(admits(&mut counters, n << 48, 5, 1));
        }
        assert!(!counters.has_room(8 << 48, 5));
        counters.grow(2);
        assert!(admits(&mut counters, 8 << 48, 5, 1));
        for n in 0..9 {
            assert!(!admits(&mut counters, n << 48, 5, 1), "{n} was freed");
        }
    }
}
