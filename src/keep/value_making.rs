//! Making a value once for all that request it at the same time.

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    get_or_set_error::GetOrSetError,
    value_condition::StoreCondition,
    value_entry::ValueEntry,
    value_json::{decode, encode, json_of},
    value_lookup::{FoundValue, ValueLookup},
    value_options::KeyedValue,
};
use crate::{
    engine::{
        coalesce::{Coalesce, CoalesceOutcome, FollowOutcome, Leader, coalesce},
        core::Engine,
        fill_lock::Locked,
        single_flight::LeaderGuard,
        task_keys,
        tiers::StoreLookup,
    },
    fence::verdict::Verdict,
    key::KeyBuf,
    store::entry::Entry,
};

/// After `make` has failed for a key, how long it is not called again while a stored value can be
/// returned.
const BACKOFF: Duration = Duration::from_secs(1);

/// A value that was made.
pub(super) struct MadeValue<T> {
    pub(super) value: T,
    pub(super) is_stored: bool,
}

impl<C> ValueEntry<C> {
    /// Makes a value that no hit has returned. `candidate` may replace an error.
    pub(super) async fn make_missing<T, E, F, Fut>(
        &self,
        key: &KeyBuf,
        candidate: Option<FoundValue>,
        make: F,
    ) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: StoreCondition<T>,
    {
        let engine = self.value.keep.engine();
        if let Some(value) = self.value.value_in_backoff(key, candidate.as_ref()) {
            engine.metrics.value_stale.increment(1);
            return Ok(value);
        }
        if task_keys::is_making(&engine.values, key.as_str()) {
            let key = self.value.key.as_str().into();
            return Err(GetOrSetError::SelfWait { key });
        }
        let mut request = ValueRequest {
            value: &self.value,
            key,
            decoded: PhantomData,
        };
        let coalesced = coalesce(engine, &engine.values, key.as_str(), &mut request).await;
        let leader = match coalesced {
            CoalesceOutcome::Done(value) => {
                engine.metrics.value_collapsed.increment(1);
                return Ok(value);
            }
            CoalesceOutcome::Proceed(leader) => leader,
        };
        match self.make(key, leader, make).await {
            Ok(made) => {
                engine.metrics.value_miss.increment(1);
                Ok(made.value)
            }
            Err(error) => match self.value.value_on_error(key, candidate.as_ref()) {
                Some(value) => {
                    engine.metrics.value_stale.increment(1);
                    Ok(value)
                }
                None => {
                    engine.metrics.value_miss.increment(1);
                    Err(GetOrSetError::Make(error))
                }
            },
        }
    }

    /// Calls `make`, stores its value and shares it with the followers.
    pub(super) async fn make<T, E, F, Fut>(
        &self,
        key: &KeyBuf,
        mut leader: Option<Leader<Arc<Entry>>>,
        make: F,
    ) -> Result<MadeValue<T>, E>
    where
        T: Serialize,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: StoreCondition<T>,
    {
        let engine = self.value.keep.engine();
        let mark = self.value.keep.mark();
        let started = engine.clock.mono();
        let made = task_keys::making(&engine.values, key.as_str(), async { make().await }).await;
        let cost = Duration::from_nanos(engine.clock.mono().saturating_sub(started));
        let made = match made {
            Ok(value) if self.condition.permits(&value) => {
                let stored = match encode(&self.value.key, &value) {
                    Ok(json) => self.value.store(mark, json, cost).await,
                    Err(error) => {
                        tracing::warn!(key = %self.value.key, %error, "the value was not stored");
                        None
                    }
                };
                let is_stored = stored.is_some();
                if let (Some(entry), Some(leader)) = (stored, &leader) {
                    leader.share(entry);
                }
                Ok(MadeValue { value, is_stored })
            }
            Ok(value) => {
                if let Some(leader) = &mut leader {
                    leader.note_hit_for_miss(engine, mark.0.position);
                }
                Ok(MadeValue {
                    value,
                    is_stored: false,
                })
            }
            Err(error) => {
                engine.metrics.fill_failed.increment(1);
                self.value.begin_backoff(key);
                Err(error)
            }
        };
        // Last, so that the followers find the stored value, or the backoff.
        if let Some(leader) = leader {
            leader.end();
        }
        made
    }
}

impl KeyedValue {
    pub(super) async fn lookup(&self, key: &KeyBuf) -> ValueLookup {
        let refresh = self.options.policy(self.keep.engine(), &self.key).refresh;
        self.keep.lookup_to_make(&self.key, key, &refresh).await
    }

    /// A found value that can be returned without calling `make`, and what it decodes to.
    pub(super) fn hit<'f, T: DeserializeOwned>(
        &self,
        found: &'f FoundValue,
    ) -> Option<(&'f FoundValue, T)> {
        let value = found.usage.is_hit().then(|| self.decoded(found))??;
        Some((found, value))
    }

    pub(super) fn begin_backoff(&self, key: &KeyBuf) {
        let engine = self.keep.engine();
        let now = engine.clock.mono();
        engine
            .origin_backoff
            .insert(&backoff_key(key), now, BACKOFF);
    }

    /// Whether `make` has just failed for this key.
    pub(super) fn is_in_backoff(&self, key: &KeyBuf) -> bool {
        let engine = self.keep.engine();
        let now = engine.clock.mono();
        engine.origin_backoff.contains(&backoff_key(key), now)
    }

    fn value_in_backoff<T: DeserializeOwned>(
        &self,
        key: &KeyBuf,
        candidate: Option<&FoundValue>,
    ) -> Option<T> {
        let candidate = candidate.filter(|_| self.is_in_backoff(key))?;
        self.value_on_error(key, Some(candidate))
    }

    /// The candidate, if it may be returned in place of an error now: it may have been invalidated since it
    /// was found.
    fn value_on_error<T: DeserializeOwned>(
        &self,
        key: &KeyBuf,
        candidate: Option<&FoundValue>,
    ) -> Option<T> {
        let candidate = candidate?.still_usable(self.keep.engine(), key)?;
        self.decoded(candidate)
    }

    /// The value, if it is a `T`. A value of another type counts as missing and is replaced.
    pub(super) fn decoded<T: DeserializeOwned>(&self, found: &FoundValue) -> Option<T> {
        decode(&self.key, &found.json).unwrap_or_else(|error| {
            tracing::warn!(key = %self.key, %error, "the stored value is of another type and will be replaced");
            None
        })
    }
}

/// The name of a value's backoff. No key begins with `~`, so that it is not that of a response.
fn backoff_key(key: &KeyBuf) -> String {
    ["~", key.as_str()].concat()
}

/// A request for a value. One caller makes the value for all that request it at the same time.
struct ValueRequest<'a, T> {
    value: &'a KeyedValue,
    key: &'a KeyBuf,
    decoded: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Coalesce for ValueRequest<'_, T> {
    type SharedResult = Arc<Entry>;
    type StoredResult = T;
    type Output = T;

    // The leader's `make` has failed, or its value is not shared: each follower calls its own.
    const RETRIES_AFTER_END: bool = false;
    const LOCKED: Locked = Locked::Value;

    async fn find(&mut self) -> Option<T> {
        let found = self.value.lookup(self.key).await.found?;
        match found.usage.is_hit() {
            true => self.value.decoded(&found),
            false => self.value.value_in_backoff(self.key, Some(&found)),
        }
    }

    async fn find_in_store(&mut self) -> StoreLookup<T> {
        let lookup = self.value.lookup(self.key).await;
        if lookup.is_hit_for_miss {
            return StoreLookup::HitForMiss;
        }
        let hit = lookup.found.filter(|found| found.usage.is_hit());
        // A value of another type counts as missing.
        hit.and_then(|hit| decode(&self.value.key, &hit.json).ok().flatten())
            .map_or(StoreLookup::Nothing, StoreLookup::Found)
    }

    fn accept(&mut self, value: T, _: &LeaderGuard<Arc<Entry>>) -> Option<T> {
        Some(value)
    }

    fn follow(&mut self, entry: Arc<Entry>) -> FollowOutcome<T> {
        let engine: &Engine = self.value.keep.engine();
        let verdict = engine
            .fence
            .check(&entry, self.key.base(), engine.clock.now());
        if verdict != Verdict::Usable {
            return FollowOutcome::Outdated;
        }
        json_of(&entry)
            .and_then(|json| decode(&self.value.key, &json).ok().flatten())
            .map_or(FollowOutcome::Unusable, FollowOutcome::Done)
    }

    fn is_hit_for_miss(&self) -> bool {
        false
    }
}
