//! Invalidation and removal of stored entries by application code.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use super::{handle::Keep, invalidation::Invalidation};
use crate::{
    error::Error,
    key::{Key, purge::PurgeTarget},
};

impl Keep {
    /// Makes the entries that the invalidations name unusable. Call it after the change has been
    /// committed.
    ///
    /// In this process the entries are unusable before the returned future is ready; in other processes
    /// that share the store, as soon as they have applied the invalidation, at most `[store] max_lag`
    /// later. Entries that are named by their key are removed at once, others when they are next looked
    /// up or expire. The cost does not depend on the number of entries.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, keep::Invalidation};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// keep.entry(key.clone()).tag("org:7").set("the first name").await?;
    ///
    /// keep.invalidate([Invalidation::tag("org:7")]).await?;
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the store did not take the invalidations, or its reply was lost. The caller need not do
    /// anything: they are sent again until the store has taken them, and until then this process does
    /// not use or store the entries that they name. Other processes apply them after that.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the invalidations are sent nevertheless.
    pub fn invalidate(
        &self,
        invalidations: impl IntoIterator<Item = Invalidation>,
    ) -> InvalidateFuture {
        InvalidateFuture {
            keep: self.clone(),
            invalidations: invalidations.into_iter().collect(),
        }
    }

    /// Makes the entry under `key` unusable, with all its variations, and removes it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("config").id("theme");
    /// keep.set(&key, "dark").await?;
    /// keep.delete(&key).await?;
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate). The entry is unusable in this process nevertheless.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the invalidation is sent nevertheless.
    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        let outcome = self.invalidate([Invalidation::key(key)]).await;
        // The full key of an entity with a version contains the version.
        let full_key = self.full_key(key).as_str().into();
        self.engine().tiers.remove(&[full_key]).await;
        outcome
    }

    /// Makes all entries whose keys match a Redis glob unusable, as [`Invalidation::pattern`] does, and
    /// removes them from both tiers, including values that other programs read (`[[value]] plain`).
    /// Returns the number of removed entries; each variation counts.
    ///
    /// It scans all keys of the store in batches (`SCAN`, `UNLINK`). If you do not need the number,
    /// [`invalidate`](Self::invalidate) costs far less. A process runs one removal of a pattern at a
    /// time: calls during a removal wait for its end, then share the next one and its number. With
    /// `[local] size = 0` and without Redis nothing is stored, and the number is 0.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// keep.set(&Key::new("engagement").id(42).sub("tasks"), "a list").await?;
    /// keep.set(&Key::new("engagement").id(421), "another").await?;
    /// assert_eq!(keep.delete_pattern("engagement:42:*").await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the pattern is wrong, or the store cannot be reached. In the second case the entries are
    /// unusable in this process nevertheless, and the invalidation is sent again.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the invalidation is sent nevertheless, and a
    /// removal that has begun continues.
    ///
    /// # Panics
    ///
    /// If it is called outside of a tokio runtime.
    pub async fn delete_pattern(&self, pattern: &str) -> Result<u64, Error> {
        let purge = Invalidation::pattern(pattern)?.into_purge();
        let engine = self.engine();
        // Only through the fence: the engine's method would remove entries without counting them.
        let appended = engine.fence.purge(&[purge]).await;
        let removed = (engine.removals).run(pattern, &engine.tiers, &engine.snapshot);
        appended.and(removed.await)
    }

    /// Gives the keys of `entity` a new version. Entries that are stored under the current version, and
    /// those of the entities below it, are never used again and expire.
    ///
    /// Use it when the format of the stored values has changed, or when too many entries have changed to
    /// name them. Other processes use the new version as soon as they have applied the invalidation.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// keep.set(&key, "a name").await?;
    /// keep.bump_version("engagement").await?;
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped after it was polled, the new version is sent nevertheless.
    pub async fn bump_version(&self, entity: &str) -> Result<(), Error> {
        // The entities below have versions of their own, so their entries are invalidated.
        let targets = vec![
            PurgeTarget::Version(entity.into()),
            PurgeTarget::Entity(entity.into()),
        ];
        self.engine().fence.invalidate(targets, false).await?;
        Ok(())
    }

    /// Sends all invalidations in one call, so that none is lost if the future is dropped.
    pub(super) async fn purge(&self, invalidations: Vec<Invalidation>) -> Result<(), Error> {
        if invalidations.is_empty() {
            return Ok(());
        }
        let purges = invalidations.into_iter().map(Invalidation::into_purge);
        self.engine().invalidate_all(purges.collect()).await
    }
}

/// The future of [`Keep::invalidate`].
#[derive(Clone, Debug)]
#[must_use = "nothing is invalidated unless it is awaited"]
pub struct InvalidateFuture {
    keep: Keep,
    invalidations: Vec<Invalidation>,
}

impl InvalidateFuture {
    /// Makes all of the invalidations [`soft`](Invalidation::soft).
    pub fn soft(mut self) -> Self {
        let invalidations = self.invalidations.into_iter();
        self.invalidations = invalidations.map(Invalidation::soft).collect();
        self
    }
}

impl IntoFuture for InvalidateFuture {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.keep.purge(self.invalidations).await })
    }
}
