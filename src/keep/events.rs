//! The stream of invalidations, for the application's own caches.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};

use super::{handle::Keep, invalidation::Invalidation};
use crate::fence::subscription::{AppliedEvent, Subscription};

impl Keep {
    /// Subscribes to invalidations, in the order in which this process applies them: its own, those of
    /// other processes, and those that other programs publish on `cache:invalidate`. An application uses
    /// them to invalidate its own caches.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_keep::Error> {
    /// use std::collections::HashMap;
    /// use tower_keep::{Keep, Key, Table, keep::Invalidation};
    ///
    /// let keep = Keep::new(Table::new())?;
    /// let mut invalidations = keep.invalidations();
    /// let mut own = HashMap::from([(Key::raw("engagement:42")?, "a parsed document")]);
    ///
    /// keep.invalidate([Invalidation::pattern("engagement:42*")?]).await?;
    ///
    /// let invalidation = invalidations.next().await.expect("the keep is in use");
    /// own.retain(|key, _| !invalidation.names(key));
    /// assert!(own.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Lagging
    ///
    /// An invalidation may come twice. A stream that is more than 1,024 records of the journal behind (a record may hold many invalidations) yields
    /// [`everything`](Invalidation::everything) instead of those that it missed. Every stream yields it
    /// if invalidations may have been lost, for example after a failover of Redis.
    pub fn invalidations(&self) -> Invalidations {
        let events = stream::unfold(self.engine().fence.subscribe(), next);
        Invalidations(events.map(invalidations).flat_map(stream::iter).boxed())
    }
}

async fn next(mut subscription: Subscription) -> Option<(AppliedEvent, Subscription)> {
    let event = subscription.next().await?;
    Some((event, subscription))
}

fn invalidations(event: AppliedEvent) -> Vec<Invalidation> {
    match event {
        AppliedEvent::Everything => vec![Invalidation::everything()],
        AppliedEvent::Purges(purges) => purges.iter().map(Invalidation::of_purge).collect(),
    }
}

/// The stream of [`Keep::invalidations`]. It ends when the last clone of the keep is dropped.
#[must_use = "streams do nothing unless polled"]
pub struct Invalidations(BoxStream<'static, Invalidation>);

impl Invalidations {
    /// Waits for the next invalidation. Returns `None` when the keep has been dropped.
    ///
    /// # Cancel safety
    ///
    /// No invalidation is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Invalidation> {
        self.0.next().await
    }
}

impl Stream for Invalidations {
    type Item = Invalidation;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Invalidation>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Invalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidations").finish_non_exhaustive()
    }
}
