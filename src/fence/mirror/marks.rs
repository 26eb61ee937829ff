//! Subjects with the position of the latest record that named them.

use crate::{
    fence::{index::Index, names::Names},
    key::purge::Purge,
};

/// Subjects with their latest `n`, hard and soft.
#[derive(Debug, Default)]
pub(super) struct Marks {
    index: Index<Mark>,
    /// The latest `n` of all of them.
    latest: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) hard: u64,
    pub(super) soft: u64,
}

impl Marks {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The latest that named anything.
    pub(super) fn latest(&self) -> u64 {
        self.latest
    }

    /// The latest that named the entry.
    pub(super) fn latest_of(&self, names: Names<'_>) -> Mark {
        let mut latest = Mark::default();
        self.index.visit(names, |mark| latest.merge(*mark));
        latest
    }

    pub(super) fn set(&mut self, purge: &Purge, n: u64) {
        self.latest = self.latest.max(n);
        let oldest = self
            .index
            .surplus_glob(&purge.subject, |mark| mark.latest());
        if let Some((wider, before)) = oldest {
            self.index.update(&wider, |mark| mark.merge(before));
        }
        self.index.update(&purge.subject, |mark| {
            let latest = if purge.soft {
                &mut mark.soft
            } else {
                &mut mark.hard
            };
            *latest = n.max(*latest);
        });
    }

    pub(super) fn drop_up_to(&mut self, floor: u64) {
        self.index.retain(|mark| mark.latest() > floor);
    }

    pub(super) fn median(&self) -> u64 {
        let mut latest: Vec<u64> = self.index.values().map(Mark::latest).collect();
        let middle = latest.len() / 2;
        *latest.select_nth_unstable(middle).1
    }
}

impl Mark {
    fn latest(&self) -> u64 {
        self.hard.max(self.soft)
    }

    fn merge(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }
}
