//! Refreshing stored values.

use std::{future::Future, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{runtime::Handle, time::timeout};
use tracing::Instrument;

use super::{
    value_condition::StoreCondition, value_decision::ValueUse, value_entry::ValueEntry,
    value_lookup::FoundValue, value_options::KeyedValue,
};
use crate::{
    engine::{
        coalesce::Leader,
        fill_lock::{FillLock, Locked},
        single_flight::LeaderGuard,
    },
    key::KeyBuf,
    store::entry::Entry,
};

/// A refresh in the background that takes longer is cancelled.
const DEADLINE: Duration = Duration::from_secs(30);

impl<C> ValueEntry<C> {
    /// Makes a newer value than `found`, unless another caller or process does, or `make` has just failed.
    /// Returns `None` if the found one stays in use.
    pub(super) async fn refresh<T, E, F, Fut>(
        &self,
        key: &KeyBuf,
        found: &FoundValue,
        make: F,
    ) -> Result<Option<T>, E>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: StoreCondition<T>,
    {
        if self.value.is_in_backoff(key) {
            return Ok(None);
        }
        match self.value.keep.engine().values.try_lead(key.as_str()) {
            Some(flight) => self.refresh_as_leader(flight, key, found, make).await,
            None => Ok(None),
        }
    }

    async fn refresh_as_leader<T, E, F, Fut>(
        &self,
        flight: LeaderGuard<Arc<Entry>>,
        key: &KeyBuf,
        found: &FoundValue,
        make: F,
    ) -> Result<Option<T>, E>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: StoreCondition<T>,
    {
        let engine = self.value.keep.engine();
        let lock = FillLock::acquire(engine, key.as_str(), Locked::Value);
        let Ok(lock) = lock.await else {
            return Ok(None);
        };
        if let Some(newer) = self.value.newer(key, found, lock.is_some()).await {
            return Ok(self.value.decoded(&newer));
        }
        engine.metrics.refresh.increment(1);
        let leader = Leader::new(flight, lock);
        let made = self.make(key, Some(leader), make).await?;
        if !made.is_stored {
            // Without the backoff, each use of the found value would refresh it.
            self.value.begin_backoff(key);
            self.value.remove_stale(key, found).await;
        }
        Ok(Some(made.value))
    }

    /// Starts to refresh a value in a spawned task. The found value stays if `make` fails, panics or is
    /// late.
    pub(super) fn start_refresh<T, E, F, Fut>(&self, key: KeyBuf, found: FoundValue, make: F)
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        C: StoreCondition<T> + Clone + Send + Sync + 'static,
    {
        let engine = self.value.keep.engine();
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let Some(flight) = engine.values.try_lead(key.as_str()) else {
            return;
        };
        let Ok(permit) = Arc::clone(&engine.refreshes).try_acquire_owned() else {
            engine.metrics.refresh_skipped.increment(1);
            return;
        };
        let entry = self.clone();
        let work = async move {
            let _permit = permit;
            let refreshed = entry.refresh_as_leader(flight, &key, &found, make);
            if timeout(DEADLINE, refreshed).await.is_err() {
                entry.value.keep.engine().metrics.fill_failed.increment(1);
                entry.value.begin_backoff(&key);
            }
        };
        runtime.spawn(work.in_current_span());
    }
}

impl KeyedValue {
    /// The value that another caller, or another process, has stored since `found` was read.
    /// `is_locked`: whether this process holds the store's lock, so that no other process makes it now.
    async fn newer(&self, key: &KeyBuf, found: &FoundValue, is_locked: bool) -> Option<FoundValue> {
        let refresh = self.options.policy(self.keep.engine(), &self.key).refresh;
        let is_entry = self.keep.plain(&self.key).is_none();
        let lookup = match is_entry && is_locked {
            true => self.keep.lookup_stored(key, &refresh).await,
            false => self.keep.lookup_to_make(&self.key, key, &refresh).await,
        };
        lookup.found.filter(|newer| newer.is_refresh_of(found))
    }

    /// A stale value must not be used once it is known that a newer one may not be stored.
    async fn remove_stale(&self, key: &KeyBuf, found: &FoundValue) {
        if found.usage == (ValueUse::Refresh { is_stale: true }) {
            self.keep
                .engine()
                .tiers
                .remove(&[key.as_str().into()])
                .await;
        }
    }
}
