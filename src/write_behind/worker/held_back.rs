//! Keys whose first write this worker has handed back.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// Keys that this worker does not claim for a while. Other workers may.
#[derive(Debug, Default)]
pub(super) struct HeldBackKeys(HashMap<Box<str>, Instant>);

impl HeldBackKeys {
    pub(super) fn add(&mut self, key: Box<str>, time: Duration) {
        let now = Instant::now();
        if self.0.len() >= MAX_KEYS {
            self.0.retain(|_, until| *until > now);
        }
        // Without room, the write is only claimed and handed back more often.
        if self.0.len() < MAX_KEYS {
            self.0.insert(key, now + time);
        }
    }

    /// Until when the key is held back.
    pub(super) fn until(&mut self, key: &str) -> Option<Instant> {
        let until = *self.0.get(key)?;
        if until <= Instant::now() {
            self.0.remove(key);
            return None;
        }
        Some(until)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

const MAX_KEYS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_held_back_for_its_time() {
        let mut held = HeldBackKeys::default();
        held.add("a".into(), Duration::from_secs(2));
        assert!(held.until("a").is_some());
        assert!(held.until("b").is_none());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(held.until("a").is_none());
        assert_eq!(held.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_keys_is_bounded() {
        let mut held = HeldBackKeys::default();
        for key in 0..2 * MAX_KEYS {
            held.add(key.to_string().into(), Duration::from_secs(2));
        }
        assert_eq!(held.len(), MAX_KEYS);
        tokio::time::advance(Duration::from_secs(3)).await;
        held.add("new".into(), Duration::from_secs(2));
        assert!(held.until("new").is_some());
    }
}
