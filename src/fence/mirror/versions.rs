//! Run-time versions of entities.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::store::position::Position;

/// The version of each entity's keys, 0 if it has none.
#[derive(Debug, Default)]
pub(in crate::fence) struct Versions(HashMap<Box<str>, Arc<AtomicU64>>);

impl Versions {
    pub(in crate::fence) fn cell(&mut self, entity: &str) -> Arc<AtomicU64> {
        Arc::clone(self.0.entry(entity.into()).or_default())
    }

    pub(in crate::fence) fn known_cell(&self, entity: &str) -> Option<Arc<AtomicU64>> {
        self.0.get(entity).cloned()
    }

    /// Raises the entity's version to this position. Returns `false` if there is no room for the entity.
    pub(in crate::fence) fn bump(&mut self, entity: &str, position: Position) -> bool {
        let fits = self.0.len() < MAX_VERSIONS || self.0.contains_key(entity);
        if fits {
            self.cell(entity)
                .fetch_max(version_at(position), Ordering::AcqRel);
        }
        fits
    }

    pub(in crate::fence) fn reset(&mut self) {
        for cell in self.0.values() {
            cell.store(0, Ordering::Release);
        }
    }
}

/// A version that no other epoch repeats: 24 bits of the epoch before 40 bits of `n`.
fn version_at(position: Position) -> u64 {
    (position.epoch << 40) | (position.n & ((1 << 40) - 1))
}

/// More entities than any table has.
const MAX_VERSIONS: usize = 4096;
