//! Reading and storing many values, and what is known of a value without reading it.

use std::{borrow::Borrow, time::Duration};

use futures_util::{StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    handle::Keep,
    value_json::{decode, encode},
};
use crate::{error::Error, key::Key, store::contracts::plain::TimeLeft};

impl Keep {
    /// Returns how long the value under `key` can still be used: [`TimeLeft::Missing`] if [`get`](Self::get)
    /// would find none, and [`TimeLeft::Never`] for a value that another program has stored without a TTL
    /// (`[[value]] plain`).
    ///
    /// A value need not be refreshed by hand before it expires:
    /// [`refresh_ahead`](super::ValueEntry::refresh_ahead) does that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, keep::TimeLeft, table::mins};
    ///
    /// let keep = Keep::new(Table::new().jitter(0.0).ttl("dashboard", mins(60)))?;
    /// let key = Key::new("dashboard").id("org-456").sub("stats");
    /// assert_eq!(keep.ttl(&key).await, TimeLeft::Missing);
    /// keep.set(&key, &[1, 2, 3]).await?;
    /// let left = keep.ttl(&key).await.duration().expect("it is stored");
    /// assert!(left > mins(59) && left <= mins(60));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn ttl(&self, key: &Key) -> TimeLeft {
        self.time_left(key).await
    }

    /// Whether [`get`](Self::get) would find a value under `key`, of whatever type.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("config").id("theme");
    /// assert!(!keep.exists(&key).await);
    /// keep.set(&key, "dark").await?;
    /// assert!(keep.exists(&key).await);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn exists(&self, key: &Key) -> bool {
        self.time_left(key).await != TimeLeft::Missing
    }

    /// Returns the value under each key, in the order of the keys. Each is found or not as by
    /// [`get`](Self::get).
    ///
    /// The values that the local tier does not have are read from Redis in one round trip: by one command
    /// for 256 keys, in a Cluster by one for each slot.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let [one, two, three] = [1, 2, 3].map(|id| Key::new("engagement").id(id));
    /// keep.set_many([(&one, "first"), (&two, "second")]).await?;
    /// let found = keep.get_many::<String>([&two, &three, &one]).await?;
    /// assert_eq!(found, [Some("second".to_owned()), None, Some("first".to_owned())]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If one of the stored values is not a `T`: [`Error::is_value`]; the error names its key.
    ///
    /// # Cancel safety
    ///
    /// The future changes nothing and can be dropped at any time.
    pub async fn get_many<T: DeserializeOwned>(
        &self,
        keys: impl IntoIterator<Item: Borrow<Key>>,
    ) -> Result<Vec<Option<T>>, Error> {
        let keys: Vec<Key> = keys.into_iter().map(|key| key.borrow().clone()).collect();
        let texts = self.json_of_many(&keys).await;
        let values = keys.iter().zip(texts);
        let values: Vec<Result<Option<T>, Error>> = values
            .map(|(key, json)| json.map_or(Ok(None), |json| decode(key, &json)))
            .collect();
        let hits = values.iter().filter(|value| matches!(value, Ok(Some(_))));
        let hits = hits.count() as u64;
        let metrics = &self.engine().metrics;
        metrics.value_hit.increment(hits);
        metrics.value_miss.increment(values.len() as u64 - hits);
        values.into_iter().collect()
    }

    /// Stores each value under its key, as [`set`](Self::set) does, in one round trip for every 256 values. If a
    /// key comes twice, either of its values is stored. See [`get_many`](Self::get_many) for an example.
    ///
    /// # Errors
    ///
    /// If one of the values does not serialise to JSON: [`Error::is_value`]. Then none is stored.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, any of the values may have been stored.
    pub async fn set_many(
        &self,
        values: impl IntoIterator<Item = (impl Borrow<Key>, impl Serialize)>,
    ) -> Result<(), Error> {
        let mark = self.mark();
        let mut encoded = Vec::new();
        for (key, value) in values {
            let key = key.borrow();
            encoded.push((self.entry(key.clone()), encode(key, &value)?));
        }
        let stored = encoded
            .iter()
            .map(|(entry, json)| entry.value.store(mark, json.clone(), Duration::ZERO));
        let stored = stream::iter(stored).buffer_unordered(CONCURRENT_PUTS);
        stored.for_each(|_| std::future::ready(())).await;
        Ok(())
    }
}

/// The number of values that are sent to the store at the same time.
const CONCURRENT_PUTS: usize = 256;
