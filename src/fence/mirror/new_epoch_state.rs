//! The state of another epoch, collected page by page.

use super::latest_purges::LatestPurges;
use crate::{key::purge::PurgeTarget, store::contracts::journal::StatePage};

/// The pages received so far. After the last page, [`Mirror::adopt`](super::Mirror::adopt) takes the
/// whole state in one step.
#[derive(Debug, Default)]
pub(in crate::fence) struct NewEpochState {
    pub(super) purges: LatestPurges,
    /// Entities with the `n` of their latest version bump.
    pub(super) versions: Vec<(Box<str>, u64)>,
}

impl NewEpochState {
    pub(in crate::fence) fn merge(&mut self, page: &StatePage) {
        for (purge, n) in &page.latest {
            if let PurgeTarget::Version(entity) = &purge.target {
                self.versions.push((entity.clone(), *n));
            } else {
                self.purges.set(purge, *n);
            }
        }
    }
}
