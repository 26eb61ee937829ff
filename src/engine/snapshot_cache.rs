//! A service's own reference to the table in use.

use std::{fmt, ops::Deref, sync::Arc};

use arc_swap::{ArcSwap, Cache, Guard};

use super::{core::Engine, snapshot::Snapshot};

/// Keeps the table of a service's last call, so that the next call only compares a pointer.
///
/// The first call keeps nothing: where a service is cloned for every request, as routers and hyper's
/// adapter do, that would add a reference count that all threads write to.
#[derive(Default)]
pub(crate) struct SnapshotCache {
    called: bool,
    cache: Option<Cache<SnapshotSource, Arc<Snapshot>>>,
}

/// The table in use, for the duration of one call.
pub(crate) enum SnapshotRef<'a> {
    Cached(&'a Arc<Snapshot>),
    Loaded(Guard<Arc<Snapshot>>),
}

impl SnapshotCache {
    #[inline]
    pub(crate) fn present(&mut self, engine: &Arc<Engine>) -> SnapshotRef<'_> {
        if !self.called {
            self.called = true;
            return SnapshotRef::Loaded(engine.snapshot.load());
        }
        let cache = || Cache::new(SnapshotSource(Arc::clone(engine)));
        SnapshotRef::Cached(self.cache.get_or_insert_with(cache).load())
    }
}

/// The clone belongs to another service, which has not been called.
impl Clone for SnapshotCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for SnapshotCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotCache").finish_non_exhaustive()
    }
}

impl Deref for SnapshotRef<'_> {
    type Target = Arc<Snapshot>;

    #[inline]
    fn deref(&self) -> &Arc<Snapshot> {
        match self {
            Self::Cached(snapshot) => snapshot,
            Self::Loaded(snapshot) => snapshot,
        }
    }
}

struct SnapshotSource(Arc<Engine>);

impl Deref for SnapshotSource {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &ArcSwap<Snapshot> {
        &self.0.snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keep::handle::Keep,
        table::{Table, secs},
    };

    #[test]
    fn the_next_call_uses_a_reloaded_table() {
        let keep = Keep::new(Table::new()).expect("a valid table");
        let mut cache = SnapshotCache::default();
        for max in 1..6 {
            keep.reload(&Table::new().max_ttl(secs(max)))
                .expect("a valid table");
            let mut clone = cache.clone();
            for cache in [&mut cache, &mut clone] {
                let snapshot = cache.present(keep.engine());
                assert_eq!(snapshot.plan.max_ttl, secs(max));
            }
        }
    }
}
