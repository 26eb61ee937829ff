//! Coalesces requests for the same key: one of them makes the result, the others wait for it. For
//! requests of an HTTP cache, RFC 9211 calls this "collapsing".
//!
//! Within a process [`SingleFlight`] decides who leads, across processes the store's [`FillLock`].
//! Both only save work: a request that cannot tell whether another one is at work does the work
//! itself, and the fence checks its result like any other.
//!
//! Within a Tokio runtime, no request waits for ever: one that waits for itself, for example through a task that its own work
//! has spawned, goes on after [`MAX_WAIT`].

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Instant, timeout_at},
};

use super::{
    core::Engine,
    fill_lock::{FillLock, Locked},
    single_flight::{FlightRole, Follower, LeaderGuard, Release, SingleFlight},
    tiers::StoreLookup,
};
use crate::{clock::Backoff, store::position::Position};

/// After waiting this long for another request of this process, a request takes over its lead; after
/// twice this time it does the work itself. After waiting this long for other processes, a process
/// does the work itself.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The first and the longest pause between two lookups in the store.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// A request whose result can be shared with other requests for the same key.
pub(crate) trait Coalesce: Send {
    /// The value that a leader hands to its followers.
    type SharedResult: Clone + Send + Sync;
    /// A result of another process, as found in the store.
    type StoredResult;
    /// The result for this request.
    type Output;

    /// Whether followers elect a new leader once if theirs ended without a result; otherwise each
    /// does the work itself.
    const RETRIES_AFTER_END: bool;

    /// What locks in the store are held for.
    const LOCKED: Locked;

    /// Looks for a result that has been stored since the request arrived.
    fn find(&mut self) -> impl Future<Output = Option<Self::Output>> + Send;

    /// Looks in the store for the result of another process.
    fn find_in_store(&mut self) -> impl Future<Output = StoreLookup<Self::StoredResult>> + Send;

    /// Uses the result of another process, and hands it to the followers in this process.
    fn accept(
        &mut self,
        stored: Self::StoredResult,
        flight: &LeaderGuard<Self::SharedResult>,
    ) -> Option<Self::Output>;

    /// Uses the result that the leader in this process has shared.
    fn follow(&mut self, shared: Self::SharedResult) -> FollowOutcome<Self::Output>;

    /// Whether it is known that the result cannot be shared, so that waiting for it is useless.
    fn is_hit_for_miss(&self) -> bool;
}

/// Whether a follower can use its leader's result.
#[derive(Debug)]
pub(crate) enum FollowOutcome<T> {
    Done(T),
    /// It is another variant; the given key is that of this request's variant.
    OtherKey(String),
    /// Others can use it, but not this request.
    Unusable,
    /// No later request can use it, for example because it was invalidated: a newer one is needed.
    Outdated,
}

/// The result of [`coalesce`].
pub(crate) enum CoalesceOutcome<T, V> {
    Done(T),
    /// This request does the work itself, and for others as well if it has become a leader.
    Proceed(Option<Leader<V>>),
}

/// The right to do the work for all waiting requests: of this process or, with the store's lock, of
/// all processes.
///
/// Call [`end`](Self::end) once the result is stored, so that released followers find it. If the
/// leader is dropped instead, one follower takes over.
pub(crate) struct Leader<V> {
    flight: LeaderGuard<V>,
    lock: Option<FillLock>,
}

impl<V> Leader<V> {
    pub(crate) fn new(flight: LeaderGuard<V>, lock: Option<FillLock>) -> Self {
        Self { flight, lock }
    }

    pub(crate) fn has_followers(&self) -> bool {
        self.flight.has_followers()
    }

    /// Hands `value` to the followers in this process.
    pub(crate) fn share(&self, value: V) {
        self.flight.share(value);
    }

    /// Tells other processes not to wait for a result that cannot be shared.
    pub(crate) fn note_hit_for_miss(&mut self, engine: &Engine, position: Position) {
        if let Some(lock) = &mut self.lock {
            lock.note_hit_for_miss(position, engine.clock.now().wall);
        }
    }

    /// Releases the followers that still wait.
    pub(crate) fn end(self) {
        self.flight.end();
    }
}

/// Waits for a request that does the same work already, or makes this one the leader.
///
/// # Cancel safety
///
/// If the future is dropped, it holds neither the lead nor a lock.
pub(crate) async fn coalesce<W: Coalesce>(
    engine: &Engine,
    flights: &Arc<SingleFlight<W::SharedResult>>,
    key: &str,
    work: &mut W,
) -> CoalesceOutcome<W::Output, W::SharedResult> {
    let mut key = key.to_owned();
    let mut has_retried = false;
    let mut has_waited = false;
    let mut deadline = Instant::now() + MAX_WAIT;
    loop {
        let mut follower = match flights.join(&key) {
            FlightRole::Lead(flight) => return lead(engine, flight, work).await,
            FlightRole::Follow(follower) => follower,
        };
        match wait_until(deadline, &mut follower).await {
            // One request takes over, so that a slow result is not made by all at once.
            None => {
                if let Some(flight) = flights.replace_leader(&key, &follower) {
                    return CoalesceOutcome::Proceed(Some(Leader::new(flight, None)));
                }
                if has_waited {
                    return CoalesceOutcome::Proceed(None);
                }
                has_waited = true;
                deadline += MAX_WAIT;
                continue;
            }
            Some(Ok(shared)) => match work.follow(shared) {
                FollowOutcome::Done(output) => return CoalesceOutcome::Done(output),
                FollowOutcome::OtherKey(other) if other != key => {
                    key = other;
                    continue;
                }
                FollowOutcome::OtherKey(_) | FollowOutcome::Unusable => {
                    return CoalesceOutcome::Proceed(None);
                }
                FollowOutcome::Outdated => {
                    if let Some(flight) = flights.replace_leader(&key, &follower) {
                        return CoalesceOutcome::Proceed(Some(Leader::new(flight, None)));
                    }
                }
            },
            Some(Err(release)) => {
                if let Some(output) = work.find().await {
                    return CoalesceOutcome::Done(output);
                }
                // A dropped leader does not use up the retry.
                if release == Release::Cancelled {
                    continue;
                }
                if !W::RETRIES_AFTER_END {
                    return CoalesceOutcome::Proceed(None);
                }
            }
        }
        if has_retried || work.is_hit_for_miss() {
            return CoalesceOutcome::Proceed(None);
        }
        has_retried = true;
    }
}

/// Waits for the leader; `None` after `deadline`. Outside of a runtime, where no timer runs, there is no
/// deadline.
async fn wait_until<T: Clone + Send + Sync>(
    deadline: Instant,
    follower: &mut Follower<T>,
) -> Option<Result<T, Release>> {
    if Handle::try_current().is_err() {
        return Some(follower.wait().await);
    }
    timeout_at(deadline, follower.wait()).await.ok()
}

/// Does the leader's work in this process: waits for a process that holds the store's lock, or
/// takes the lock.
async fn lead<W: Coalesce>(
    engine: &Engine,
    flight: LeaderGuard<W::SharedResult>,
    work: &mut W,
) -> CoalesceOutcome<W::Output, W::SharedResult> {
    // The previous leader may have stored its result since this request looked.
    if let Some(output) = work.find().await {
        flight.end();
        return CoalesceOutcome::Done(output);
    }
    let stored = match wait_for_lock(engine, flight.key(), work).await {
        FillLockOutcome::Lead(lock) => {
            return CoalesceOutcome::Proceed(Some(Leader::new(flight, lock)));
        }
        FillLockOutcome::Found(stored) => stored,
    };
    match work.accept(stored, &flight) {
        Some(output) => {
            flight.end();
            CoalesceOutcome::Done(output)
        }
        None => CoalesceOutcome::Proceed(Some(Leader::new(flight, None))),
    }
}

enum FillLockOutcome<T> {
    /// Another process has stored this result.
    Found(T),
    /// This process does the work; it holds the lock unless the lock could not be acquired.
    Lead(Option<FillLock>),
}

/// Waits until the store holds the result of another process, or this process has to make it.
async fn wait_for_lock<W: Coalesce>(
    engine: &Engine,
    key: &str,
    work: &mut W,
) -> FillLockOutcome<W::StoredResult> {
    let Some(mut lock) = FillLock::new(engine, key, W::LOCKED) else {
        return FillLockOutcome::Lead(None);
    };
    let deadline = Instant::now() + MAX_WAIT;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let Ok(is_held) = lock.try_acquire().await else {
            return FillLockOutcome::Lead(None);
        };
        // Also after the lock was acquired: the result may have been stored since the last lookup.
        match work.find_in_store().await {
            StoreLookup::Found(stored) => return FillLockOutcome::Found(stored),
            StoreLookup::HitForMiss => return FillLockOutcome::Lead(None),
            StoreLookup::Nothing if is_held => return FillLockOutcome::Lead(Some(lock)),
            StoreLookup::Nothing => {}
        }
        // While the fence is not trusted, results of other processes cannot be used.
        if Instant::now() >= deadline || !engine.fence.is_trusted(engine.clock.now()) {
            return FillLockOutcome::Lead(None);
        }
        backoff.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, pin_mut};

    use super::*;
    use crate::{keep::handle::Keep, table::Table};

    /// A request whose result has been stored since it arrived.
    struct StoredMeanwhile;

    impl Coalesce for StoredMeanwhile {
        type SharedResult = ();
        type StoredResult = ();
        type Output = &'static str;

        const RETRIES_AFTER_END: bool = true;
        const LOCKED: Locked = Locked::Response;

        async fn find(&mut self) -> Option<&'static str> {
            Some("stored")
        }

        async fn find_in_store(&mut self) -> StoreLookup<()> {
            StoreLookup::Nothing
        }

        fn accept(&mut self, (): (), _: &LeaderGuard<()>) -> Option<&'static str> {
            None
        }

        fn follow(&mut self, (): ()) -> FollowOutcome<&'static str> {
            FollowOutcome::Unusable
        }

        fn is_hit_for_miss(&self) -> bool {
            false
        }
    }

    /// Regression: the follower waited for the next leader without looking.
    #[tokio::test]
    async fn a_follower_looks_once_after_its_leader_was_dropped() {
        let keep = Keep::new(Table::new()).expect("a valid table");
        let flights = SingleFlight::new();
        let first = flights.try_lead("k").expect("nobody leads");
        let mut request = StoredMeanwhile;
        let coalesced = coalesce(keep.engine(), &flights, "k", &mut request);
        pin_mut!(coalesced);
        assert!(coalesced.as_mut().now_or_never().is_none(), "it follows");
        drop(first);
        let _second = flights.try_lead("k").expect("nobody leads");
        let outcome = coalesced.now_or_never().expect("it does not wait again");
        assert!(matches!(outcome, CoalesceOutcome::Done("stored")));
    }
}
