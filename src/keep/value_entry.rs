//! The key of an application value, with the value's own settings.

use std::{future::Future, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    get_or_set_error::GetOrSetError,
    handle::Keep,
    mark::Mark,
    value_condition::{Always, StoreCondition, StoredIf},
    value_decision::ValueUse,
    value_json::encode,
    value_options::{KeyedValue, ValueOptions},
};
use crate::{error::Error, key::Key};

/// The key of an application value, with settings of its own. Made by [`Keep::entry`].
///
/// The settings are those of a route, and of `[[value]]` in the table, under the same names; those of the entry
/// take precedence. Values and responses obey the same rules: one caller in all processes makes or
/// refreshes a value, and a value that was read before a write is never stored after it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_keep::Error> {
/// use tower_keep::{Keep, Key, Table, table::{hours, mins}};
///
/// async fn stats(org: &str) -> Result<Vec<u32>, std::io::Error> {
///     # let _ = org;
///     Ok(vec![3, 1, 4])
/// }
///
/// let keep = Keep::new(Table::new())?;
/// let entry = keep
///     .entry(Key::new("dashboard").id("org-456").sub("stats"))
///     .ttl(mins(60))
///     .refresh_ahead(mins(5))
///     .stale_if_error(hours(24))
///     .tag("org:org-456");
/// assert_eq!(entry.get_or_refresh(|| stats("org-456")).await.unwrap(), [3, 1, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "an entry does nothing until it is read or set"]
pub struct ValueEntry<C = Always> {
    pub(super) value: KeyedValue,
    pub(super) condition: C,
}

impl ValueEntry {
    pub(super) fn new(keep: Keep, key: Key) -> Self {
        Self {
            value: KeyedValue {
                keep,
                key,
                options: ValueOptions::default(),
            },
            condition: Always,
        }
    }
}

impl<C> ValueEntry<C> {
    /// Sets a TTL instead of the entity's. `[ttl] max` still limits it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.value.options.ttl = Some(ttl);
        self
    }

    /// Stores for `ttl` that there is no value: `None`, and whatever else serialises to `null`, which is
    /// not stored otherwise. Such a value is never refreshed ahead or returned stale.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, table::secs};
    ///
    /// async fn from_database(_: u32) -> Result<Option<String>, std::io::Error> {
    ///     Ok(None)
    /// }
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let entry = keep.entry(Key::new("user").id(7)).cache_none(secs(30));
    /// assert_eq!(entry.get_or_set(|| from_database(7)).await.unwrap(), None);
    /// // Known not to exist; for a type that cannot be `null`, `get` finds nothing.
    /// assert_eq!(entry.get::<Option<String>>().await?, Some(None));
    /// assert_eq!(entry.get::<String>().await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cache_none(mut self, ttl: Duration) -> Self {
        self.value.options.none_ttl = Some(ttl);
        self
    }

    /// Refreshes the value when [`get_or_set`](Self::get_or_set) or
    /// [`get_or_refresh`](Self::get_or_refresh) uses it and it stays fresh for less than this. Write less
    /// than the TTL; otherwise each use refreshes the value.
    pub fn refresh_ahead(mut self, left: Duration) -> Self {
        self.value.options.refresh_ahead = Some(left);
        self
    }

    /// Whether the value is refreshed before it expires, at random: the probability grows with the time
    /// that it took to make it, and as the expiry comes closer. It has no effect on values that are stored as
    /// bare JSON.
    pub fn early_refresh(mut self, yes: bool) -> Self {
        self.value.options.early_refresh = Some(yes);
        self
    }

    /// How long after its TTL the value is returned while one caller makes a fresh one (RFC 5861 section 3).
    /// It has no effect on values that are stored as bare JSON.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.value.options.stale_while_revalidate = Some(time);
        self
    }

    /// How long after its TTL the value is returned instead of the error of `make` (RFC 5861 section 4).
    /// After an error, `make` is not called again for a second. It has no effect on values that are
    /// stored as bare JSON.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        self.value.options.stale_if_error = Some(time);
        self
    }

    /// Adds a tag, by which the value can be [invalidated](super::Invalidation::tag).
    pub fn tag(mut self, tag: impl Into<Box<str>>) -> Self {
        self.value.options.tags.push(tag.into());
        self
    }

    /// Stores what `make` returns only if `condition` returns `true` for it. Otherwise, the callers that
    /// waited call their own `make`. A later condition replaces an earlier one. [`set`](Self::set) stores any
    /// value.
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
    /// let entry = keep.entry(key.clone()).condition(|hits: &Vec<String>| !hits.is_empty());
    /// assert!(entry.get_or_set(|| search("towers")).await.unwrap().is_empty());
    /// assert!(!keep.exists(&key).await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn condition<T, F: Fn(&T) -> bool>(self, condition: F) -> ValueEntry<StoredIf<F>> {
        ValueEntry {
            value: self.value,
            condition: StoredIf(condition),
        }
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
        self.value.keep.get(&self.value.key).await
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
        self.set_at(self.value.keep.mark(), value).await
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
        let json = encode(&self.value.key, value)?;
        self.value.store(mark, json, Duration::ZERO).await;
        Ok(())
    }

    /// As [`Keep::get_or_set`], with the settings of this entry.
    ///
    /// When a refresh is due, the caller that finds it due calls its own `make` and waits for it; all others
    /// get the stored value at once. If that `make` fails, its caller gets the stored value as well, unless
    /// it has been invalidated meanwhile. For
    /// refreshes that nobody waits for, see [`get_or_refresh`](Self::get_or_refresh).
    ///
    /// # Errors
    ///
    /// As [`Keep::get_or_set`], unless a stored value may replace the error of `make`
    /// ([`stale_if_error`](Self::stale_if_error)).
    ///
    /// # Cancel safety
    ///
    /// As [`Keep::get_or_set`].
    pub async fn get_or_set<T, E, F, Fut>(&self, make: F) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: StoreCondition<T>,
    {
        let key = self.value.keep.full_key(&self.value.key);
        let found = self.value.lookup(&key).await.found;
        let Some((hit, value)) = found.as_ref().and_then(|found| self.value.hit(found)) else {
            return self.make_missing(&key, found, make).await;
        };
        self.value.keep.engine().metrics.value_hit.increment(1);
        if hit.usage == ValueUse::Fresh {
            return Ok(value);
        }
        match self.refresh(&key, hit, make).await {
            Ok(refreshed) => Ok(refreshed.unwrap_or(value)),
            // It may have been invalidated while `make` ran.
            Err(error) => match hit.is_still_usable(self.value.keep.engine(), &key) {
                true => Ok(value),
                false => Err(GetOrSetError::Make(error)),
            },
        }
    }

    /// [`get_or_set`](Self::get_or_set), but a refresh runs in the background, in a task of its own: no caller
    /// waits for it. `make` must therefore own what it uses.
    ///
    /// A refresh that takes longer than 30 seconds is cancelled. At most 64 run at the same time in a
    /// process, together with those of responses; more are left out. Outside of a tokio runtime, values are not
    /// refreshed.
    ///
    /// # Errors
    ///
    /// As [`get_or_set`](Self::get_or_set).
    ///
    /// # Cancel safety
    ///
    /// As [`Keep::get_or_set`]. A refresh that has begun continues.
    pub async fn get_or_refresh<T, E, F, Fut>(&self, make: F) -> Result<T, GetOrSetError<E>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        E: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        C: StoreCondition<T> + Clone + Send + Sync + 'static,
    {
        let key = self.value.keep.full_key(&self.value.key);
        let found = self.value.lookup(&key).await.found;
        let Some((hit, value)) = found.as_ref().and_then(|found| self.value.hit(found)) else {
            return self.make_missing(&key, found, make).await;
        };
        self.value.keep.engine().metrics.value_hit.increment(1);
        if hit.usage != ValueUse::Fresh && !self.value.is_in_backoff(&key) {
            self.start_refresh(key, hit.clone(), make);
        }
        Ok(value)
    }
}
