//! Invalidation by the application.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use super::{Invalidation, Keep};
use crate::{
    engine::core::Engine,
    error::Error,
    key::{
        Key,
        purge::{Purge, PurgeTarget},
    },
};

impl Keep {
    /// Makes what the invalidations name unusable: at this process before the returned future is
    /// ready, at every other process that shares the store as soon as it hears of it, `[store]
    /// max_lag` later at the latest. Call it after what was changed has been committed.
    ///
    /// What a key names is also removed at once; the rest is removed when it is next looked up, or
    /// expires. The cost does not depend on how much is named.
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
    /// The store has not taken it, or its answer was lost. Nothing is left to be done: what was
    /// named is not used at this process until the store has taken it, which is tried again and
    /// again. Other processes hear of it then.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, it is sent all the same.
    pub fn invalidate(
        &self,
        invalidations: impl IntoIterator<Item = Invalidation>,
    ) -> InvalidateFuture {
        InvalidateFuture {
            keep: self.clone(),
            invalidations: invalidations.into_iter().collect(),
        }
    }

    /// Runs `work`, which changes what the invalidations name, and makes that unusable before its
    /// outcome is answered: after an error, too, for what was written may have been committed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use tower_keep::{Keep, Key, Table, keep::Invalidation};
    ///
    /// # async fn rename() -> Result<(), std::io::Error> { Ok(()) }
    /// let keep = Keep::new(Table::new())?;
    /// let key = Key::new("engagement").id(42);
    /// keep.set(&key, "the first name").await?;
    ///
    /// let changes = [Invalidation::key(&key), Invalidation::pattern("engagement:42:*")?];
    /// keep.write(changes, rename()).await.expect("renamed");
    /// assert_eq!(keep.get::<String>(&key).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `work`'s own. What the store does not take at once is sent again; see
    /// [`invalidate`](Self::invalidate).
    ///
    /// # Panics
    ///
    /// If `work` does; what it may have written is invalidated before.
    ///
    /// # Cancel safety
    ///
    /// `work` runs in the caller's task. Dropping the future drops it, and what it may have written
    /// is invalidated. So that a commit is not cut short by a client that leaves, spawn the whole:
    /// `tokio::spawn(async move { keep.write(changes, work).await })`.
    pub async fn write<T, E, F>(
        &self,
        invalidations: impl IntoIterator<Item = Invalidation>,
        work: F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut write = Unsettled {
            keep: Arc::clone(self.engine()),
            invalidations: invalidations.into_iter().collect(),
        };
        let outcome = work.await;
        // Dropped meanwhile, it is sent twice, which does no harm.
        let _ = self.engine().purge(write.invalidations.clone()).await;
        write.invalidations.clear();
        outcome
    }

    /// Makes what is stored under `key` unusable, in all its variations, and removes it.
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
    /// As [`invalidate`](Self::invalidate): it is unusable at this process all the same.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the invalidation is sent all the same.
    pub async fn delete(&self, key: &Key) -> Result<(), Error> {
        let outcome = self.invalidate([Invalidation::key(key)]).await;
        // Under a version the key has another name.
        self.engine()
            .remove(&[self.full_key(key).as_str().into()])
            .await;
        outcome
    }

    /// Makes everything unusable whose key a Redis glob matches, as
    /// [`Invalidation::pattern`], then removes it, application values that other programs read
    /// included, from both tiers; answers how many there were, each variation counted.
    ///
    /// It looks at every key of the store, in batches (`SCAN`, `UNLINK`), and nobody waits for it
    /// but the caller. Where nobody asks for the number,
    /// [`invalidate`](Self::invalidate) costs less by far. Of one pattern there is never more than
    /// one sweep at a time at one process: who asks meanwhile waits for its end, and all of them
    /// share the next one, and its number.
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
    /// If the pattern is wrong, or the store cannot be reached: what it matches is unusable here
    /// all the same, and the invalidation is sent again.
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, the invalidation is sent all the same, and a sweep that has begun
    /// goes on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn delete_pattern(&self, pattern: &str) -> Result<u64, Error> {
        let (subject, soft) = Invalidation::pattern(pattern)?.into_parts();
        // Nothing is removed yet: it is to be counted.
        let appended = self.engine().fence.invalidate(vec![subject], soft).await;
        let removed = self.engine().sweep(pattern).await;
        appended.and(removed)
    }

    /// Waits until what this process has invalidated is in the store, writes that are still under
    /// way below an [`InvalidateLayer`](crate::InvalidateLayer) included, and other programs have
    /// been told. In one process without a store, until those writes are over.
    ///
    /// To be awaited at a graceful end, once no requests are served any more: what the store has
    /// not taken by the end of the process is lost. It waits for as long as the store cannot be
    /// reached; put a timeout around it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use tower_keep::{Keep, Table};
    ///
    /// let keep = Keep::new(Table::new()).unwrap();
    /// // … the server has ended: with axum, `with_graceful_shutdown` has returned.
    /// if tokio::time::timeout(Duration::from_secs(5), keep.flush()).await.is_err() {
    ///     eprintln!("the store has not taken everything");
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: it only waits.
    pub async fn flush(&self) {
        self.engine().writes.idle().await;
        self.engine().fence.flush().await;
    }

    /// Gives the keys of `entity` a new version: what is stored under the present one, and what
    /// the entities below it hold, is never used again, and expires by itself.
    ///
    /// For when the form of what is stored has changed, or too much to name. All processes take
    /// the new version as they hear of it.
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
    /// As [`invalidate`](Self::invalidate).
    ///
    /// # Cancel safety
    ///
    /// Dropped after its first poll, it is sent all the same.
    pub async fn bump_version(&self, entity: &str) -> Result<(), Error> {
        // An entity below has a version of its own; as part of this one it becomes unusable.
        let subjects = vec![
            PurgeTarget::Version(entity.into()),
            PurgeTarget::Entity(entity.into()),
        ];
        self.engine().fence.invalidate(subjects, false).await?;
        Ok(())
    }
}

/// Some invalidations about to be made; see [`Keep::invalidate`].
#[derive(Clone, Debug)]
#[must_use = "nothing is invalidated before it is awaited"]
pub struct InvalidateFuture {
    keep: Keep,
    invalidations: Vec<Invalidation>,
}

impl InvalidateFuture {
    /// All of them [`soft`](Invalidation::soft).
    pub fn soft(mut self) -> Self {
        self.invalidations = self
            .invalidations
            .into_iter()
            .map(Invalidation::soft)
            .collect();
        self
    }
}

impl IntoFuture for InvalidateFuture {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.keep.engine().purge(self.invalidations).await })
    }
}

impl Engine {
    /// All of them at once: none is left behind when the caller leaves.
    async fn purge(&self, invalidations: Vec<Invalidation>) -> Result<(), Error> {
        if invalidations.is_empty() {
            return Ok(());
        }
        self.invalidate_all(purges(invalidations)).await
    }
}

/// A write of the application's whose end nobody has seen: dropped so, it may have happened.
struct Unsettled {
    keep: Arc<Engine>,
    invalidations: Vec<Invalidation>,
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        let left = purges(std::mem::take(&mut self.invalidations));
        self.keep.fence.purge_later(&left);
    }
}

fn purges(invalidations: Vec<Invalidation>) -> Vec<Purge> {
    let parts = invalidations.into_iter().map(Invalidation::into_parts);
    parts.map(|(target, soft)| Purge { target, soft }).collect()
}
