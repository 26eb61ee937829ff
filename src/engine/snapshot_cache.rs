//! The table, as one service knows it.

use std::{fmt, ops::Deref, sync::Arc};

use arc_swap::{ArcSwap, Cache, Guard};

use super::{core::Engine, snapshot::Snapshot};

/// What a service that is called again and again remembers: the table of its last call, which is
/// still the present one unless a comparison says otherwise.
///
/// At a first call nothing is remembered: where a service is cloned for every request, as routers
/// and hyper's adapter do, it would only be one more reference count that all threads write to.
#[derive(Default)]
pub(crate) struct SnapshotCache {
    called: bool,
    cache: Option<Cache<Source, Arc<Snapshot>>>,
}

/// The present table, for as long as one call takes.
pub(crate) enum Present<'a> {
    Remembered(&'a Arc<Snapshot>),
    Loaded(Guard<Arc<Snapshot>>),
}

impl SnapshotCache {
    #[inline]
    pub(crate) fn present(&mut self, keep: &Arc<Engine>) -> Present<'_> {
        if !self.called {
            self.called = true;
            return Present::Loaded(keep.snapshot.load());
        }
        let source = || Cache::new(Source(Arc::clone(keep)));
        Present::Remembered(self.cache.get_or_insert_with(source).load())
    }
}

/// A clone is another service, and has not been called.
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

impl Deref for Present<'_> {
    type Target = Arc<Snapshot>;

    #[inline]
    fn deref(&self) -> &Arc<Snapshot> {
        match self {
            Self::Remembered(snapshot) => snapshot,
            Self::Loaded(snapshot) => snapshot,
        }
    }
}

struct Source(Arc<Engine>);

impl Deref for Source {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &ArcSwap<Snapshot> {
        &self.0.snapshot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keep::Keep,
        table::{Table, secs},
    };

    #[test]
    fn a_reloaded_table_is_seen_at_the_next_call() {
        let keep = Keep::new(Table::new()).expect("a valid table");
        let mut seen = SnapshotCache::default();
        for max in 1..6 {
            keep.reload(&Table::new().max_ttl(secs(max)))
                .expect("right");
            let mut clone = seen.clone();
            for seen in [&mut seen, &mut clone] {
                let present = seen.present(keep.engine());
                assert_eq!(present.plan.max_ttl, secs(max));
            }
        }
    }

    #[test]
    fn what_is_called_once_holds_no_table() {
        let keep = Keep::new(Table::new()).expect("a valid table");
        let holders = || Arc::strong_count(&keep.engine().snapshot.load_full());
        let before = holders();
        let mut seen = SnapshotCache::default();
        seen.present(keep.engine());
        assert_eq!(holders(), before);
        seen.present(keep.engine());
        assert_eq!(holders(), before + 1);
        let mut clone = seen.clone();
        clone.present(keep.engine());
        assert_eq!(holders(), before + 1);
    }
}
