//! Plain counters that expire.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Counters by key, bounded: when there are too many, those that expire first of a sample go.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<HashMap<Box<str>, Counted>>);

#[derive(Clone, Copy, Debug)]
struct Counted {
    sum: i64,
    /// Microseconds of the caller's clock.
    expires: u64,
}

const CAPACITY: usize = 1 << 16;

const SAMPLE: usize = 16;

impl Counters {
    /// Adds; `None` if the sum is out of range, and nothing is added.
    pub(crate) fn increment(&self, key: &str, amount: i64, ttl: u64, now: u64) -> Option<i64> {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counted) = counters.get_mut(key)
            && now < counted.expires
        {
            counted.sum = counted.sum.checked_add(amount)?;
            return Some(counted.sum);
        }
        if counters.len() >= CAPACITY {
            make_room(&mut counters, now);
        }
        let expires = now.saturating_add(ttl);
        counters.insert(
            key.into(),
            Counted {
                sum: amount,
                expires,
            },
        );
        Some(amount)
    }
}

fn make_room(counters: &mut HashMap<Box<str>, Counted>, now: u64) {
    counters.retain(|_, counted| now < counted.expires);
    // room for many at once: looking through all of them is rare then
    while counters.len() > CAPACITY - CAPACITY / 8 {
        let first = counters.iter().take(SAMPLE).min_by_key(|(_, c)| c.expires);
        let Some(key) = first.map(|(key, _)| key.clone()) else {
            return;
        };
        counters.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_until_it_expires_and_begins_anew() {
        let counters = Counters::default();
        assert_eq!(counters.increment("a", 2, 100, 0), Some(2));
        assert_eq!(counters.increment("a", 3, 900, 99), Some(5));
        assert_eq!(counters.increment("b", -1, 100, 99), Some(-1));
        assert_eq!(
            counters.increment("a", 1, 100, 100),
            Some(1),
            "its time was not prolonged"
        );
    }

    #[test]
    fn an_overflow_adds_nothing() {
        let counters = Counters::default();
        counters.increment("a", i64::MAX, 100, 0);
        assert_eq!(counters.increment("a", 1, 100, 0), None);
        assert_eq!(counters.increment("a", 0, 100, 0), Some(i64::MAX));
    }

    #[test]
    fn a_flood_of_keys_fills_no_memory() {
        let counters = Counters::default();
        for n in 0..200_000 {
            counters.increment(&n.to_string(), 1, 1_000_000, 0);
        }
        assert!(counters.0.lock().expect("not poisoned").len() <= CAPACITY);
    }
}
