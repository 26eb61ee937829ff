//! Reads that lag behind the write: `settle`.

use super::{index::Index, names::Names};
use crate::key::purge::PurgeTarget;

/// When what was invalidated last, for as long as a lagging read could still see what it replaced.
#[derive(Debug)]
pub(super) struct Settling {
    /// In nanoseconds; 0 turns it off.
    window: u64,
    applied: Index<u64>,
    sweep_at: usize,
}

impl Settling {
    pub(super) fn new(window: u64) -> Self {
        Self {
            window,
            applied: Index::default(),
            sweep_at: SWEEP_AT,
        }
    }

    pub(super) fn applied(&mut self, subject: &PurgeTarget, now: u64) {
        if self.window == 0 {
            return;
        }
        if let Some((wider, at)) = self.applied.surplus_glob(subject, |at| *at) {
            self.applied
                .update(&wider, |latest| *latest = at.max(*latest));
        }
        self.applied
            .update(subject, |latest| *latest = now.max(*latest));
        if self.applied.len() > self.sweep_at {
            self.applied
                .retain(|at| at.saturating_add(self.window) > now);
            self.sweep_at = SWEEP_AT.max(2 * self.applied.len());
        }
    }

    /// Whether a fill that began at `captured` may have read what was replaced already.
    pub(super) fn disturbs(&self, captured: u64, names: Names<'_>) -> bool {
        let mut disturbs = false;
        if !self.applied.is_empty() {
            self.applied.visit(names, |at| {
                disturbs |= captured < at.saturating_add(self.window);
            });
        }
        disturbs
    }
}

const SWEEP_AT: usize = 1024;
