//! Single flight: of all tasks that need the same result at the same time, one makes it and the
//! others wait for it.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use tokio::sync::watch;

const SHARDS: usize = 64;

/// The work in progress, by key. `T` is what a leader shares with its followers.
pub(crate) struct SingleFlight<T> {
    shards: Box<[Mutex<FlightShard<T>>]>,
    hasher: RandomState,
}

impl<T> SingleFlight<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
        })
    }

    /// Becomes the leader of the work on `key`, or a follower of its leader.
    pub(crate) fn join(self: &Arc<Self>, key: &str) -> FlightRole<T> {
        let mut shard = self.shard(key);
        if let Some(state) = shard.get(key) {
            return FlightRole::Follow(Follower {
                leader: Arc::clone(state),
                state: state.subscribe(),
            });
        }
        FlightRole::Lead(self.lead(&mut shard, key))
    }

    /// Becomes the leader of the work on `key`; `None` if there is a leader already.
    pub(crate) fn try_lead(self: &Arc<Self>, key: &str) -> Option<LeaderGuard<T>> {
        let mut shard = self.shard(key);
        (!shard.contains_key(key)).then(|| self.lead(&mut shard, key))
    }

    /// Makes the caller the leader in place of `follower`'s leader, whose result later requests
    /// cannot use.
    ///
    /// `None` if that leader has been replaced already, or has ended: join again.
    pub(crate) fn replace_leader(
        self: &Arc<Self>,
        key: &str,
        follower: &Follower<T>,
    ) -> Option<LeaderGuard<T>> {
        let mut shard = self.shard(key);
        let superseded = shard
            .get(key)
            .is_some_and(|state| Arc::ptr_eq(state, &follower.leader));
        superseded.then(|| self.lead(&mut shard, key))
    }

    fn lead(self: &Arc<Self>, shard: &mut FlightShard<T>, key: &str) -> LeaderGuard<T> {
        let state = Arc::new(watch::Sender::new(FlightState::Waiting));
        shard.insert(key.into(), Arc::clone(&state));
        LeaderGuard {
            flights: Arc::clone(self),
            key: key.into(),
            state,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| lock(s).len()).sum()
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, FlightShard<T>> {
        // Truncation is the point: any bits of the hash choose a shard.
        #[allow(clippy::cast_possible_truncation)]
        let hash = self.hasher.hash_one(key) as usize;
        lock(&self.shards[hash % SHARDS])
    }
}

/// The role of a caller of [`SingleFlight::join`]: it does the work, or waits for the leader's
/// result.
pub(crate) enum FlightRole<T> {
    Lead(LeaderGuard<T>),
    Follow(Follower<T>),
}

/// Held by the leader while it works. Dropping it releases the followers that still wait.
pub(crate) struct LeaderGuard<T> {
    flights: Arc<SingleFlight<T>>,
    key: Box<str>,
    state: Arc<watch::Sender<FlightState<T>>>,
}

impl<T> LeaderGuard<T> {
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Hands `value` to all followers, including those that join before this guard is dropped.
    pub(crate) fn share(&self, value: T) {
        self.state.send_replace(FlightState::Shared(value));
    }

    /// Whether a follower waits.
    pub(crate) fn has_followers(&self) -> bool {
        self.state.receiver_count() > 0
    }

    /// Releases the followers that still wait: the work has ended.
    pub(crate) fn end(self) {
        self.release(Release::Ended);
    }

    fn release(&self, release: Release) {
        let mut shard = self.flights.shard(&self.key);
        let own = |state: &Arc<_>| Arc::ptr_eq(state, &self.state);
        if shard.get(&*self.key).is_some_and(own) {
            shard.remove(&*self.key);
        }
        drop(shard);
        self.state.send_if_modified(|state| {
            let waiting = matches!(state, FlightState::Waiting);
            if waiting {
                *state = FlightState::Released(release);
            }
            waiting
        });
    }
}

impl<T> Drop for LeaderGuard<T> {
    fn drop(&mut self) {
        self.release(if std::thread::panicking() {
            Release::Ended
        } else {
            Release::Cancelled
        });
    }
}

/// Waits for a leader's result.
pub(crate) struct Follower<T> {
    /// Tells whether the leader is still the same.
    leader: Arc<watch::Sender<FlightState<T>>>,
    state: watch::Receiver<FlightState<T>>,
}

impl<T: Clone> Follower<T> {
    /// Waits until the leader shares its result or releases its followers.
    pub(crate) async fn wait(&mut self) -> Result<T, Release> {
        let state = self
            .state
            .wait_for(|state| !matches!(state, FlightState::Waiting))
            .await;
        match state.as_deref() {
            Ok(FlightState::Shared(value)) => Ok(value.clone()),
            Ok(FlightState::Released(release)) => Err(*release),
            // Unreachable: the follower itself holds the sender.
            _ => Err(Release::Cancelled),
        }
    }
}

/// Why a leader has released its followers without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It was dropped before its work ended; a follower takes over.
    Cancelled,
    /// Its work ended without a result to share, or panicked.
    Ended,
}

type FlightShard<T> = HashMap<Box<str>, Arc<watch::Sender<FlightState<T>>>>;

/// The state of a leader's work, as its followers see it.
#[derive(Clone, Debug)]
enum FlightState<T> {
    Waiting,
    Shared(T),
    Released(Release),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while a shard is locked.
    #[cfg(test)]
    crate::schedule::switch_point();
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod schedule_tests;

#[cfg(test)]
mod tests {
    use super::*;

    fn lead<T>(flights: &Arc<SingleFlight<T>>, key: &str) -> LeaderGuard<T> {
        flights.try_lead(key).expect("nobody leads")
    }

    fn follow<T>(flights: &Arc<SingleFlight<T>>, key: &str) -> Follower<T> {
        match flights.join(key) {
            FlightRole::Follow(follower) => follower,
            FlightRole::Lead(_) => panic!("there is a leader already"),
        }
    }

    #[tokio::test]
    async fn followers_get_what_the_leader_shares() {
        let flights = SingleFlight::new();
        let lead = lead(&flights, "k");
        assert!(!lead.has_followers());
        let mut early = follow(&flights, "k");
        assert!(lead.has_followers());
        lead.share(7);
        let mut late = follow(&flights, "k");
        drop(lead);
        assert_eq!(early.wait().await, Ok(7));
        assert_eq!(late.wait().await, Ok(7));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test]
    async fn a_dropped_leader_releases_its_followers() {
        let flights = SingleFlight::<u32>::new();
        let lead = lead(&flights, "k");
        let mut follower = follow(&flights, "k");
        drop(lead);
        assert_eq!(follower.wait().await, Err(Release::Cancelled));
        assert!(flights.try_lead("k").is_some());
    }

    #[tokio::test]
    async fn followers_can_tell_an_ended_leader_from_a_dropped_one() {
        let flights = SingleFlight::<u32>::new();
        let first = lead(&flights, "k");
        let mut follower = follow(&flights, "k");
        first.end();
        assert_eq!(follower.wait().await, Err(Release::Ended));

        let second = lead(&flights, "k");
        let mut follower = follow(&flights, "k");
        let panicked = std::thread::spawn(move || {
            let _lead = second;
            panic!("while it works");
        });
        assert!(panicked.join().is_err());
        assert_eq!(follower.wait().await, Err(Release::Ended));
    }

    #[tokio::test]
    async fn one_follower_replaces_a_leader_whose_result_is_of_no_use() {
        let flights = SingleFlight::new();
        let old = lead(&flights, "k");
        let (one, other) = (follow(&flights, "k"), follow(&flights, "k"));
        old.share(1);
        let new = flights.replace_leader("k", &one).expect("the first to ask");
        assert!(flights.replace_leader("k", &other).is_none());
        // The old leader's end is not the new one's.
        drop(old);
        let mut late = follow(&flights, "k");
        new.share(2);
        assert_eq!(late.wait().await, Ok(2));
        drop(new);
        assert_eq!(flights.len(), 0);
        assert!(
            flights.replace_leader("k", &late).is_none(),
            "the leader has ended: its result may be stored"
        );
    }
}
