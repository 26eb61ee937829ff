//! Writes by application code, and waiting for invalidations before a shutdown.

use std::future::Future;

use super::{handle::Keep, invalidation::Invalidation, write_future::WriteFuture};
use crate::engine::acceptance::queue_drain;

impl Keep {
    /// Runs `work`, which changes the data of the entries that the invalidations name, then makes those
    /// entries unusable and returns the result of `work`. It also invalidates after an error, since the
    /// change may have been committed. [`WriteFuture::replace`] stores a value in place of an invalidated
    /// one.
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
    /// The error of `work`. Invalidations that the store does not take are sent again; see
    /// [`invalidate`](Self::invalidate).
    ///
    /// # Panics
    ///
    /// If `work` panics. The entries are invalidated nevertheless.
    ///
    /// # Cancel safety
    ///
    /// `work` runs in the caller's task. If the future is dropped, `work` is dropped, and the
    /// entries are invalidated. To prevent a client that disconnects from interrupting a commit,
    /// spawn a task: `tokio::spawn(async move { keep.write(changes, work).await })`.
    pub fn write<'a, T, E, F>(
        &self,
        invalidations: impl IntoIterator<Item = Invalidation>,
        work: F,
    ) -> WriteFuture<'a, F, T>
    where
        F: Future<Output = Result<T, E>>,
    {
        let invalidations = invalidations.into_iter().collect();
        WriteFuture::new(self.clone(), invalidations, work)
    }

    /// Waits until the writes in progress below an [`InvalidateLayer`](crate::InvalidateLayer) have
    /// ended, the store has taken all invalidations of this process, and they have been published
    /// to other programs. Without Redis, it also waits until the workers have applied the writes that this
    /// process has queued in memory; Redis keeps those that it has accepted.
    ///
    /// Await it when the server shuts down, after the last request: invalidations that the store has not
    /// taken when the process ends are lost. It waits as long as the store cannot be reached, or no worker applies what is
    /// queued in memory, so use a timeout.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use tower_keep::{Keep, Table};
    ///
    /// let keep = Keep::new(Table::new()).unwrap();
    /// // … the server has stopped: with axum, `with_graceful_shutdown` has returned.
    /// if tokio::time::timeout(Duration::from_secs(5), keep.flush()).await.is_err() {
    ///     eprintln!("the store has not taken all invalidations");
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// The future only waits and can be dropped at any time.
    pub async fn flush(&self) {
        let engine = self.engine();
        queue_drain::wait_until_empty(engine).await;
        engine.writes.wait().await;
        engine.fence.flush().await;
    }
}
