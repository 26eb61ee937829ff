//! Removing and counting all entries whose keys match a pattern.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use tokio::task::yield_now;

use super::{
    key_globs::KeyGlobs,
    single_flight::{FlightRole, SingleFlight},
    snapshot::Snapshot,
    tiers::Tiers,
};
use crate::error::Error;

/// The removals in progress: at most one for each pattern at a time.
pub(crate) struct PatternRemovals {
    in_progress: Arc<SingleFlight<Removal>>,
    /// A logical clock that orders the beginnings of requests and removals.
    clock: AtomicU64,
}

/// A completed removal.
#[derive(Clone, Copy, Debug)]
struct Removal {
    began: u64,
    removed: u64,
}

impl PatternRemovals {
    pub(super) fn new() -> Self {
        Self {
            in_progress: SingleFlight::new(),
            clock: AtomicU64::new(0),
        }
    }

    /// Removes all entries whose keys match the pattern from both tiers. Returns how many were removed.
    ///
    /// A removal that is in progress may miss entries that were stored after it began. So a caller waits
    /// for its end, and then shares a removal that begins later.
    ///
    /// # Cancel safety
    ///
    /// A removal that has begun continues in its own task.
    ///
    /// # Errors
    ///
    /// If the store cannot be reached.
    pub(crate) async fn run(
        &self,
        pattern: &str,
        tiers: &Arc<Tiers>,
        snapshot: &ArcSwap<Snapshot>,
    ) -> Result<u64, Error> {
        let requested = self.tick();
        loop {
            match self.in_progress.join(pattern) {
                FlightRole::Lead(leader) => {
                    let (began, tiers) = (self.tick(), Arc::clone(tiers));
                    let globs = KeyGlobs::new(pattern, snapshot.load().plan.plain());
                    let removal = async move {
                        let removed = tiers.remove_matching(&globs).await?;
                        leader.share(Removal { began, removed });
                        Ok(removed)
                    };
                    return tokio::spawn(removal).await.unwrap_or_else(|error| {
                        let message = format!("the removal of `{pattern}` was not completed");
                        Err(Error::unavailable(message).with_hidden_cause(error))
                    });
                }
                // After a failure, each follower tries again.
                FlightRole::Follow(mut follower) => match follower.wait().await {
                    Ok(removal) if removal.began > requested => return Ok(removal.removed),
                    _ => yield_now().await,
                },
            }
        }
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;
    use crate::{
        keep::handle::Keep,
        key::Key,
        table::{Table, ValueSettings},
    };

    /// The removal in progress had already passed the key of a value that was stored before the
    /// deletion was called, and the deletion returned with it: the value stayed.
    #[tokio::test]
    async fn a_removal_begins_after_it_was_requested() {
        let keep = Keep::new(Table::new().value(ValueSettings::new("config:*").plain(true)))
            .expect("a valid table");
        let removals = &keep.engine().removals;
        let FlightRole::Lead(in_progress) = removals.in_progress.join("config:*") else {
            panic!("there is no removal yet");
        };
        let began = removals.tick();
        let key = Key::new("config").id(1);
        keep.set(&key, "a value").await.expect("stored");
        let mut deletions = [0, 1].map(|_| Box::pin(keep.delete_pattern("config:*")));
        for deletion in &mut deletions {
            assert!(deletion.now_or_never().is_none(), "it waits");
        }
        in_progress.share(Removal { began, removed: 7 });
        drop(in_progress);
        for removed in join_all(deletions).await {
            assert_eq!(removed.expect("removed"), 1, "they share one removal");
        }
        assert_eq!(keep.get::<String>(&key).await.expect("readable"), None);
    }
}
