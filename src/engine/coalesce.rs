//! Coalesces requests for the same key: one of them makes the result, the others wait for it.
//!
//! Within a process [`SingleFlight`] decides who leads, across processes the store's [`FillLock`].
//! Both only save work: a request that cannot tell whether another one is at work does the work
//! itself, and the fence checks its result like any other.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    core::Engine,
    fill_lock::FillLock,
    single_flight::{Joined, LeaderGuard, Release, SingleFlight},
};
use crate::{clock::Backoff, store::position::Position};

/// After waiting this long for other processes, a process does the work itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first and the longest pause between two lookups in the store.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// A request whose result can be shared with other requests for the same key.
pub(crate) trait Coalesce: Send {
    /// What a leader hands to its followers.
    type SharedResult: Clone + Send + Sync;
    /// A result of another process, as found in the store.
    type StoredResult;
    /// What the request is answered with.
    type Output;

    /// Whether the followers of a leader that ended without a result elect another leader once,
    /// instead of doing the work separately at once.
    const RETRIES_AFTER_END: bool;

    /// Looks for a result that has been stored since the request arrived.
    fn find(&mut self) -> impl Future<Output = Option<Self::Output>> + Send;

    /// Looks in the store for the result of another process.
    fn find_stored(&mut self) -> impl Future<Output = StoreLookup<Self::StoredResult>> + Send;

    /// Uses the result of another process, and hands it to the followers in this one.
    fn accept(
        &mut self,
        stored: Self::StoredResult,
        flight: &LeaderGuard<Self::SharedResult>,
    ) -> Option<Self::Output>;

    /// Uses what the leader in this process has shared.
    fn follow(&mut self, shared: Self::SharedResult) -> FollowOutcome<Self::Output>;

    /// Whether waiting is known to be useless, because the result cannot be shared.
    fn is_uncacheable(&self) -> bool;
}

/// The result of [`Coalesce::find_stored`].
#[derive(Debug)]
pub(crate) enum StoreLookup<T> {
    Found(T),
    /// Another process has noted that the result cannot be shared.
    Uncacheable,
    Nothing,
}

/// What a leader's result is to one of its followers.
#[derive(Debug)]
pub(crate) enum FollowOutcome<T> {
    Done(T),
    /// It is for other requests; those like this one wait under this key.
    OtherKey(String),
    /// It is still good for others, but not for this request.
    Unusable,
    /// It is no longer good, for example because it was invalidated: a later one is needed.
    Outdated,
}

/// The result of [`coalesce`].
pub(crate) enum Coalesced<T, V> {
    Done(T),
    /// This request does the work itself, and for others as well if it has become a leader.
    Proceed(Option<Leader<V>>),
}

/// The right to do the work for everyone who waits: in this process and, with the store's lock, in
/// all of them.
///
/// End it once the result has been stored: released followers then find it. Dropped, it makes one
/// of the followers take over.
pub(crate) struct Leader<V> {
    flight: LeaderGuard<V>,
    lock: Option<FillLock>,
}

impl<V> Leader<V> {
    pub(crate) fn new(flight: LeaderGuard<V>, lock: Option<FillLock>) -> Self {
        Self { flight, lock }
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.flight.is_followed()
    }

    /// Hands `value` to the followers in this process.
    pub(crate) fn share(&self, value: V) {
        self.flight.share(value);
    }

    /// Tells other processes not to wait for a result that cannot be shared.
    pub(crate) fn note_uncacheable(&mut self, engine: &Engine, position: Position) {
        if let Some(lock) = &mut self.lock {
            lock.note_uncacheable(position, engine.clock.now().wall);
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
) -> Coalesced<W::Output, W::SharedResult> {
    let mut key = key.to_owned();
    let mut has_retried = false;
    loop {
        let mut follower = match flights.join(&key) {
            Joined::Lead(flight) => return lead(engine, flight, work).await,
            Joined::Follow(follower) => follower,
        };
        match follower.wait().await {
            Ok(shared) => match work.follow(shared) {
                FollowOutcome::Done(output) => return Coalesced::Done(output),
                FollowOutcome::OtherKey(other) if other != key => {
                    key = other;
                    continue;
                }
                FollowOutcome::OtherKey(_) | FollowOutcome::Unusable => {
                    return Coalesced::Proceed(None);
                }
                FollowOutcome::Outdated => {
                    if let Some(flight) = flights.succeed(&key, &follower) {
                        return Coalesced::Proceed(Some(Leader::new(flight, None)));
                    }
                }
            },
            // However many leaders are dropped, one of their followers takes over.
            Err(Release::Cancelled) => continue,
            Err(Release::Ended) => {
                if let Some(output) = work.find().await {
                    return Coalesced::Done(output);
                }
                if !W::RETRIES_AFTER_END {
                    return Coalesced::Proceed(None);
                }
            }
        }
        if has_retried || work.is_uncacheable() {
            return Coalesced::Proceed(None);
        }
        has_retried = true;
    }
}

/// Leads this process: waits for other processes that do the same work, or leads them as well.
async fn lead<W: Coalesce>(
    engine: &Engine,
    flight: LeaderGuard<W::SharedResult>,
    work: &mut W,
) -> Coalesced<W::Output, W::SharedResult> {
    // The previous leader may have stored its result since this request looked.
    if let Some(output) = work.find().await {
        flight.end();
        return Coalesced::Done(output);
    }
    let stored = match wait_for_lock(engine, flight.key(), work).await {
        FillLockOutcome::Lead(lock) => return Coalesced::Proceed(Some(Leader::new(flight, lock))),
        FillLockOutcome::Found(stored) => stored,
    };
    match work.accept(stored, &flight) {
        Some(output) => {
            flight.end();
            Coalesced::Done(output)
        }
        None => Coalesced::Proceed(Some(Leader::new(flight, None))),
    }
}

enum FillLockOutcome<T> {
    /// Another process has stored this.
    Found(T),
    /// This process does the work, with the lock if it could be acquired.
    Lead(Option<FillLock>),
}

/// Waits until the store holds what another process makes, or this process has to make it.
async fn wait_for_lock<W: Coalesce>(
    engine: &Engine,
    key: &str,
    work: &mut W,
) -> FillLockOutcome<W::StoredResult> {
    let Some(mut lock) = FillLock::new(engine, key) else {
        return FillLockOutcome::Lead(None);
    };
    let deadline = Instant::now() + PATIENCE;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let Ok(is_held) = lock.try_acquire().await else {
            return FillLockOutcome::Lead(None);
        };
        // With the lock, too: the result may have been stored since the last lookup.
        match work.find_stored().await {
            StoreLookup::Found(stored) => return FillLockOutcome::Found(stored),
            StoreLookup::Uncacheable => return FillLockOutcome::Lead(None),
            StoreLookup::Nothing if is_held => return FillLockOutcome::Lead(Some(lock)),
            StoreLookup::Nothing => {}
        }
        // While the fence is not trusted, results of other processes cannot be used.
        if Instant::now() >= deadline || !engine.fence.trusted(engine.clock.now()) {
            return FillLockOutcome::Lead(None);
        }
        backoff.wait().await;
    }
}
