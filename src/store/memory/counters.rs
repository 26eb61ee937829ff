//! Plain counters that expire, in one process.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Counters by key. If there are too many, counters that expire soon are removed.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<HashMap<Box<str>, ExpiringCounter>>);

#[derive(Clone, Copy, Debug)]
struct ExpiringCounter {
    sum: i64,
    /// Microseconds of the caller's clock.
    expires: u64,
}

impl Counters {
    /// Adds `amount` and returns the sum; if that is out of range, adds nothing and returns `None`.
    /// `ttl` and `now` are in microseconds.
    pub(crate) fn increment(&self, key: &str, amount: i64, ttl: u64, now: u64) -> Option<i64> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counter) = counters.get_mut(key)
            && now < counter.expires
        {
            counter.sum = counter.sum.checked_add(amount)?;
            return Some(counter.sum);
        }
        if counters.len() >= CAPACITY {
            make_room(&mut counters, now);
        }
        let expires = now.saturating_add(ttl);
        counters.insert(
            key.into(),
            ExpiringCounter {
                sum: amount,
                expires,
            },
        );
        Some(amount)
    }

    /// The sum of a counter that has not expired. `now` is in microseconds.
    pub(crate) fn sum(&self, key: &str, now: u64) -> Option<i64> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counters.get(key).filter(|counter| now < counter.expires);
        counter.map(|counter| counter.sum)
    }
}

fn make_room(counters: &mut HashMap<Box<str>, ExpiringCounter>, now: u64) {
    counters.retain(|_, counter| now < counter.expires);
    // Makes room for many at once, so that all counters are seldom visited.
    while counters.len() > CAPACITY - CAPACITY / 8 {
        let sample = counters.iter().take(SAMPLE);
        let first = sample.min_by_key(|(_, counter)| counter.expires);
        let Some(key) = first.map(|(key, _)| key.clone()) else {
            return;
        };
        counters.remove(&key);
    }
}

/// How many counters are kept.
const CAPACITY: usize = 1 << 16;

/// How many counters are compared to find one that expires soon.
const SAMPLE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_starts_again_after_it_expired() {
        let counters = Counters::default();
        assert_eq!(counters.increment("a", 2, 100, 0), Some(2));
        assert_eq!(counters.increment("a", 3, 900, 99), Some(5));
        assert_eq!(counters.increment("b", -1, 100, 99), Some(-1));
        assert_eq!(
            counters.increment("a", 1, 100, 100),
            Some(1),
            "the time to live was not prolonged"
        );
        assert_eq!(counters.sum("a", 100), Some(1));
        assert_eq!(counters.sum("a", 200), None, "it has expired");
        assert_eq!(counters.sum("c", 0), None);
    }

    #[test]
    fn an_overflow_adds_nothing() {
        let counters = Counters::default();
        counters.increment("a", i64::MAX, 100, 0);
        assert_eq!(counters.increment("a", 1, 100, 0), None);
        assert_eq!(counters.increment("a", 0, 100, 0), Some(i64::MAX));
    }

    #[test]
    fn the_number_of_counters_is_bounded() {
        let counters = Counters::default();
        for n in 0..200_000 {
            counters.increment(&n.to_string(), 1, 1_000_000, 0);
        }
        assert!(counters.0.lock().expect("not poisoned").len() <= CAPACITY);
    }
}
