//! Positions in the journal of invalidations.

/// A place in the journal: `n` counts up by one within an epoch; epochs are random, never repeat
/// and are only ever compared for equality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) n: u64,
}

impl Position {
    /// No epoch is known: nothing stored from here can be checked.
    pub(crate) const UNKNOWN: Self = Self { epoch: 0, n: 0 };

    pub(crate) fn is_known(self) -> bool {
        self.epoch != 0
    }
}
