//! Application values, which application code stores under keys.

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

use super::{get_or_set_error::GetOrSetError, handle::Keep, value_entry::ValueEntry};
use crate::{error::Error, key::Key};

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
    /// Where the table has the value refreshed before it expires, or returned stale meanwhile, the caller that
    /// finds a refresh due makes the new value and waits for it, and the others get the stored one; see
    /// also [`get_or_refresh`](Self::get_or_refresh).
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
    /// The error of `make`, as [`GetOrSetError::Make`], unless the table lets a stale value replace it. In this case nothing is stored, and the callers
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

    /// [`get_or_set`](Self::get_or_set), but where the table has the value refreshed before it expires
    /// (`[[value]] refresh_ahead`), the refresh runs in the background. `make` must own what it uses. See
    /// [`ValueEntry::get_or_refresh`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, table::{ValueSettings, mins}};
    ///
    /// async fn compute_stats(org: String) -> Result<usize, std::io::Error> {
    ///     Ok(org.len())
    /// }
    ///
    /// let stats = ValueSettings::new("dashboard:*:stats").ttl(mins(60)).refresh_ahead(mins(5));
    /// let keep = Keep::new(Table::new().value(stats))?;
    /// let key = Key::new("dashboard").id("org-456").sub("stats");
    /// let made = keep.get_or_refresh(&key, || compute_stats("org-456".to_owned())).await;
    /// assert_eq!(made.unwrap(), 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_or_set`](Self::get_or_set).
    ///
    /// # Cancel safety
    ///
    /// As [`get_or_set`](Self::get_or_set). A refresh that has begun continues.
    pub async fn get_or_refresh<T, E, F, Fut>(
        &self,
        key: &Key,
        make: F,
    ) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.entry(key.clone()).get_or_refresh(make).await
    }

    /// Returns an entry for the value under `key`, to give the value settings of its own.
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
        ValueEntry::new(self.clone(), key)
    }
}
