//! Application values, which application code stores under keys.

use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    get_or_set_error::GetOrSetError,
    handle::Keep,
    value_json::{decode, encode, json_of},
};
use crate::{
    engine::{
        coalesce::{Coalesce, CoalesceOutcome, FollowOutcome, coalesce},
        core::Engine,
        fill_lock::Locked,
        single_flight::LeaderGuard,
        task_keys,
        tiers::StoreLookup,
    },
    error::Error,
    fence::{capture::Capture, verdict::Verdict},
    key::{Key, KeyBuf},
    semantics::freshness::Lifetime,
    store::entry::{Content, Entry, LocalState, StoredValue},
};

/// A position in the order of invalidations, taken before a value is read from its source.
///
/// See [`Keep::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark(Capture);

/// The key of an application value, with its own TTL and tags. Made by [`Keep::entry`].
#[derive(Clone, Debug)]
#[must_use = "an entry does nothing until it is read or set"]
pub struct ValueEntry {
    keep: Keep,
    key: Key,
    ttl: Option<Duration>,
    tags: Vec<Box<str>>,
}

impl Keep {
    /// Returns the value under `key`, if one is stored and usable. If a 200 response with JSON content
    /// is stored there, its content is the value.
    ///
    /// It returns `None` if Redis cannot be reached and the local tier does not have the value.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("config").id("theme");
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// keep.set(&key, "dark").await?;
    /// assert_eq!(keep.get::<String>(&key).await?.as_deref(), Some("dark"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the stored JSON is not a `T`: [`Error::is_value`].
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, Error> {
        let value = self.read(key).await;
        let metrics = &self.engine().metrics;
        match &value {
            Ok(Some(_)) => metrics.value_hit.increment(1),
            Ok(None) | Err(_) => metrics.value_miss.increment(1),
        }
        value
    }

    /// Stores `value` under `key` for the TTL of the key's entity. A value that serialises to `null` is
    /// not stored.
    ///
    /// The value may have been invalidated between the time it was read from its source and this call.
    /// If that matters, use [`get_or_set`](Self::get_or_set), or [`mark`](Self::mark) and
    /// [`ValueEntry::set_at`].
    ///
    /// If Redis does not take the value, it is stored in this process's local tier only, or not at all
    /// (`[local] size = 0`). That is logged and counted, but not an error.
    ///
    /// # Errors
    ///
    /// If `value` does not serialise to JSON: [`Error::is_value`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value may have been stored or not.
    pub async fn set<T: Serialize + ?Sized>(&self, key: &Key, value: &T) -> Result<(), Error> {
        self.entry(key.clone()).set(value).await
    }

    /// Returns the value under `key`. If there is none, calls `make`, then stores and returns the value that
    /// it makes.
    ///
    /// If several callers request the same key at the same time, one of them calls `make` and the others
    /// wait for its value, in all processes that share the store. If the calling process dies, another
    /// one takes over within four seconds. A process that has waited ten seconds for another one calls
    /// its own `make`. If Redis cannot be reached, each process calls `make` once.
    ///
    /// Nobody waits for ever: if the value is late, one of the callers that have waited ten seconds in
    /// the same process calls its own `make`, and after twenty seconds the others do. This also ends
    /// the wait of a `make` for a task that it has spawned, and that requests the same key.
    ///
    /// A handler may use the key of its own route: responses and values do not wait for each other.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// async fn from_database(id: u32) -> Result<String, std::io::Error> {
    ///     Ok(format!("engagement {id}"))
    /// }
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// let made = keep.get_or_set(&key, || from_database(42)).await;
    /// assert_eq!(made.unwrap(), "engagement 42");
    /// assert!(keep.get::<String>(&key).await?.is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `make`, as [`GetOrSetError::Make`]. In this case nothing is stored, and the callers
    /// that waited call their own `make`.
    ///
    /// [`GetOrSetError::SelfWait`], at once, if this call is part of a `make` for the same key.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the future of `make` is dropped, and one of the waiting callers takes
    /// over.
    pub async fn get_or_set<T, E, F, Fut>(&self, key: &Key, make: F) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.entry(key.clone()).get_or_set(make).await
    }

    /// Returns an entry for the value under `key`, to give the value its own TTL, tags or condition.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, table::secs};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let entry = keep.entry(Key::new("search").id("towers")).ttl(secs(60)).tag("org:7");
    /// entry.set(&["a keep"]).await?;
    /// assert_eq!(entry.get::<Vec<String>>().await?.unwrap(), ["a keep"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn entry(&self, key: Key) -> ValueEntry {
        ValueEntry {
            keep: self.clone(),
            key,
            ttl: None,
            tags: Vec::new(),
        }
    }

    /// Returns the current position in the order of invalidations, for [`ValueEntry::set_at`].
    ///
    /// Take it before you read a value from its source. If the value is invalidated after that, even before
    /// it is stored, the stored value is not used.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// let mark = keep.mark();
    /// let read = "the old name"; // from the database
    /// keep.delete(&key).await?; // another task has renamed it meanwhile
    /// keep.entry(key.clone()).set_at(mark, read).await?;
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.engine().fence.capture())
    }
}

impl ValueEntry {
    /// Sets a TTL instead of the entity's. `[ttl] max` still limits it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Adds a tag, by which the value can be [invalidated](super::Invalidation::tag).
    pub fn tag(mut self, tag: impl Into<Box<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// As [`Keep::get`].
    ///
    /// # Errors
    ///
    /// If the stored JSON is not a `T`: [`Error::is_value`].
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn get<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        self.keep.get(&self.key).await
    }

    /// As [`Keep::set`].
    ///
    /// # Errors
    ///
    /// If `value` does not serialise to JSON: [`Error::is_value`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value may have been stored or not.
    pub async fn set<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        self.set_at(self.keep.mark(), value).await
    }

    /// Stores a value that was read after `mark` was taken. If it has been invalidated since then, it
    /// is not used. See [`Keep::mark`] for an example.
    ///
    /// # Errors
    ///
    /// If `value` does not serialise to JSON: [`Error::is_value`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value may have been stored or not.
    pub async fn set_at<T: Serialize + ?Sized>(&self, mark: Mark, value: &T) -> Result<(), Error> {
        let json = encode(&self.key, value)?;
        self.store(mark, json).await;
        Ok(())
    }

    /// As [`Keep::get_or_set`].
    ///
    /// # Errors
    ///
    /// As [`Keep::get_or_set`].
    ///
    /// # Cancel safety
    ///
    /// As [`Keep::get_or_set`].
    pub async fn get_or_set<T, E, F, Fut>(&self, make: F) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.get_or_set_if(|_| true, make).await
    }

    /// [`get_or_set`](Self::get_or_set), but the value is stored only if `condition` returns `true`.
    /// Otherwise, the callers that waited call their own `make`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// async fn search(_: &str) -> Result<Vec<String>, std::io::Error> {
    ///     Ok(Vec::new())
    /// }
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("search").id("towers");
    /// let entry = keep.entry(key.clone());
    /// let hits = entry.get_or_set_if(|hits: &Vec<String>| !hits.is_empty(), || search("towers")).await;
    /// assert!(hits.unwrap().is_empty());
    /// assert_eq!(keep.get::<Vec<String>>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Keep::get_or_set`].
    ///
    /// # Cancel safety
    ///
    /// As [`Keep::get_or_set`].
    pub async fn get_or_set_if<T, E, F, Fut>(
        &self,
        condition: impl FnOnce(&T) -> bool,
        make: F,
    ) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let shared = self.keep.engine();
        if let Some(value) = self.usable().await {
            shared.metrics.value_hit.increment(1);
            return Ok(value);
        }
        let key = self.keep.full_key(&self.key);
        if task_keys::is_making(&shared.values, key.as_str()) {
            let key = self.key.as_str().into();
            return Err(GetOrSetError::SelfWait { key });
        }
        let mut request = ValueRequest {
            entry: self,
            key: &key,
            value: PhantomData,
        };
        let coalesced = coalesce(shared, &shared.values, key.as_str(), &mut request).await;
        let mut leader = match coalesced {
            CoalesceOutcome::Done(value) => {
                shared.metrics.value_collapsed.increment(1);
                return Ok(value);
            }
            CoalesceOutcome::Proceed(leader) => leader,
        };
        shared.metrics.value_miss.increment(1);
        let mark = self.keep.mark();
        let started = shared.clock.mono();
        let made = task_keys::making(&shared.values, key.as_str(), async { make().await }).await;
        let cost = Duration::from_nanos(shared.clock.mono().saturating_sub(started));
        match (&made, &mut leader) {
            (Ok(value), leader) if condition(value) => match encode(&self.key, value) {
                Ok(json) => {
                    let entry = self.store_made(mark, json, cost).await;
                    if let (Some(entry), Some(leader)) = (entry, leader) {
                        leader.share(entry);
                    }
                }
                Err(error) => tracing::warn!(key = %self.key, %error, "the value was not stored"),
            },
            (Ok(_), Some(leader)) => leader.note_hit_for_miss(shared, mark.0.position),
            _ => {}
        }
        if let Some(leader) = leader {
            leader.end();
        }
        made.map_err(GetOrSetError::Make)
    }

    /// The stored value, if it is a `T`. A value of another type counts as missing and is replaced.
    async fn usable<T: DeserializeOwned>(&self) -> Option<T> {
        self.keep.read(&self.key).await.unwrap_or_else(|error| {
            tracing::warn!(key = %self.key, %error, "the stored value is of another type and will be replaced");
            None
        })
    }

    pub(super) async fn store(&self, mark: Mark, json: Bytes) -> Option<Arc<Entry>> {
        self.store_made(mark, json, Duration::ZERO).await
    }

    /// Stores a value that took `cost` to make.
    async fn store_made(&self, mark: Mark, json: Bytes, cost: Duration) -> Option<Arc<Entry>> {
        if &*json == b"null" {
            return None;
        }
        let shared = self.keep.engine();
        let key = self.keep.full_key(&self.key);
        let (entity, lifetime) = self.lifetime(shared);
        let ttl = lifetime.fresh;
        let plain = self.keep.plain(&self.key);
        if let Some(plain) = plain {
            // A failure is logged and counted by the store.
            let _ = plain.put_plain(key.as_str(), &json, ttl).await;
        }
        let stored = shared.clock.now().wall;
        let mut entry = Entry {
            content: Content::Value(StoredValue {
                json,
                lifetime,
                cost,
            }),
            position: mark.0.position,
            stored,
            expires: stored.after(ttl),
            entity,
            user: None,
            tags: self.tags.clone().into(),
            local: LocalState::default(),
        };
        entry.local.captured = mark.0.at;
        let entry = Arc::new(entry);
        if plain.is_none() && shared.may_store(&mark.0, &entry, key.base()) {
            shared.tiers.put(key.as_str(), &entry).await;
        }
        Some(entry)
    }

    /// The key's entity, and the value's lifetime with jitter.
    fn lifetime(&self, shared: &Engine) -> (Box<str>, Lifetime) {
        let snapshot = shared.snapshot.load();
        let (entity, ttl) = snapshot.plan.ttl_for_raw_key(self.key.as_str());
        let lifetime = Lifetime {
            fresh: self.ttl.unwrap_or(ttl).min(snapshot.plan.max_ttl),
            ..Lifetime::default()
        };
        (entity.into(), snapshot.with_jitter(lifetime))
    }
}

/// A request for a value. One caller makes the value for all that request it at the same time.
struct ValueRequest<'a, T> {
    entry: &'a ValueEntry,
    key: &'a KeyBuf,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Coalesce for ValueRequest<'_, T> {
    type SharedResult = Arc<Entry>;
    type StoredResult = T;
    type Output = T;

    // The leader's `make` has failed, or its value is not shared: each follower calls its own.
    const RETRIES_AFTER_END: bool = false;
    const LOCKED: Locked = Locked::Value;

    async fn find(&mut self) -> Option<T> {
        self.entry.usable().await
    }

    async fn find_in_store(&mut self) -> StoreLookup<T> {
        match self.entry.keep.json(&self.entry.key).await {
            // A value of another type counts as missing; the first lookup has logged it.
            StoreLookup::Found(json) => {
                decode(&self.entry.key, &json).map_or(StoreLookup::Nothing, StoreLookup::Found)
            }
            StoreLookup::HitForMiss => StoreLookup::HitForMiss,
            StoreLookup::Nothing => StoreLookup::Nothing,
        }
    }

    fn accept(&mut self, value: T, _: &LeaderGuard<Arc<Entry>>) -> Option<T> {
        Some(value)
    }

    fn follow(&mut self, entry: Arc<Entry>) -> FollowOutcome<T> {
        let engine = self.entry.keep.engine();
        let verdict = engine
            .fence
            .check(&entry, self.key.base(), engine.clock.now());
        if verdict != Verdict::Usable {
            return FollowOutcome::Outdated;
        }
        json_of(&entry)
            .and_then(|json| decode(&self.entry.key, &json).ok())
            .map_or(FollowOutcome::Unusable, FollowOutcome::Done)
    }

    fn is_hit_for_miss(&self) -> bool {
        false
    }
}
