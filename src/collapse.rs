//! One piece of work for all who want the same thing at the same time.

use std::{
    collections::HashMap,
    fmt,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use tokio::sync::watch;

const SHARDS: usize = 64;

/// Work under way, by key. `T` is what the leader shares with its followers.
pub(crate) struct Flights<T> {
    shards: Box<[Mutex<Shard<T>>]>,
    hasher: RandomState,
}

type Shard<T> = HashMap<Box<str>, Arc<watch::Sender<State<T>>>>;

#[derive(Clone, Debug)]
enum State<T> {
    Waiting,
    Shared(T),
    Released,
}

/// Whether to do the work or to wait for who does it.
#[derive(Debug)]
pub(crate) enum Joined<T> {
    Lead(Lead<T>),
    Follow(Follower<T>),
}

/// The one who works. Dropping it ends the flight: whoever still waits is released at once.
pub(crate) struct Lead<T> {
    flights: Arc<Flights<T>>,
    key: Box<str>,
    state: Arc<watch::Sender<State<T>>>,
}

/// One who waits.
#[derive(Debug)]
pub(crate) struct Follower<T>(watch::Receiver<State<T>>);

impl<T> Flights<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
        })
    }

    pub(crate) fn join(self: &Arc<Self>, key: &str) -> Joined<T> {
        let mut shard = self.shard(key);
        if let Some(state) = shard.get(key) {
            return Joined::Follow(Follower(state.subscribe()));
        }
        Joined::Lead(self.lead(&mut shard, key))
    }

    /// Leads if nobody does.
    pub(crate) fn try_lead(self: &Arc<Self>, key: &str) -> Option<Lead<T>> {
        let mut shard = self.shard(key);
        (!shard.contains_key(key)).then(|| self.lead(&mut shard, key))
    }

    fn lead(self: &Arc<Self>, shard: &mut Shard<T>, key: &str) -> Lead<T> {
        let state = Arc::new(watch::Sender::new(State::Waiting));
        shard.insert(key.into(), Arc::clone(&state));
        Lead {
            flights: Arc::clone(self),
            key: key.into(),
            state,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| lock(s).len()).sum()
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard<T>> {
        // Truncation is the point: any bits of the hash choose a shard.
        #[allow(clippy::cast_possible_truncation)]
        let hash = self.hasher.hash_one(key) as usize;
        lock(&self.shards[hash % SHARDS])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while a shard is locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Lead<T> {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Hands `value` to everybody who waits, and to whoever joins until this lead is dropped.
    pub(crate) fn share(&self, value: T) {
        self.state.send_replace(State::Shared(value));
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        self.flights.shard(&self.key).remove(&*self.key);
        self.state.send_if_modified(|state| {
            let waiting = matches!(state, State::Waiting);
            if waiting {
                *state = State::Released;
            }
            waiting
        });
    }
}

impl<T: Clone> Follower<T> {
    /// What the leader shares; `None` once it has released its followers.
    pub(crate) async fn wait(mut self) -> Option<T> {
        let state = self
            .0
            .wait_for(|state| !matches!(state, State::Waiting))
            .await;
        match state.as_deref() {
            Ok(State::Shared(value)) => Some(value.clone()),
            _ => None,
        }
    }
}

impl<T> fmt::Debug for Flights<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Lead<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lead").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead<T>(flights: &Arc<Flights<T>>, key: &str) -> Lead<T> {
        flights.try_lead(key).expect("nobody leads")
    }

    fn follow<T: fmt::Debug>(flights: &Arc<Flights<T>>, key: &str) -> Follower<T> {
        match flights.join(key) {
            Joined::Follow(follower) => follower,
            Joined::Lead(lead) => panic!("{lead:?} where somebody leads already"),
        }
    }

    #[tokio::test]
    async fn followers_get_what_the_leader_shares() {
        let flights = Flights::new();
        let lead = lead(&flights, "k");
        let early = follow(&flights, "k");
        lead.share(7);
        let late = follow(&flights, "k");
        drop(lead);
        assert_eq!(early.wait().await, Some(7));
        assert_eq!(late.wait().await, Some(7));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn a_dropped_leader_releases_everyone() {
        let flights = Flights::<u32>::new();
        let lead = lead(&flights, "k");
        let follower = follow(&flights, "k");
        drop(lead);
        assert_eq!(follower.wait().await, None);
        assert!(flights.try_lead("k").is_some());
    }
}
