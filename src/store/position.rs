//! Positions in the journal of invalidations.

/// The position of a record in the journal. `n` increases by one within an epoch; epochs are random,
/// never repeat and are compared for equality only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) n: u64,
}

impl Position {
    /// No position. An entry that is stored with it cannot be checked for invalidation.
    pub(crate) const UNKNOWN: Self = Self { epoch: 0, n: 0 };

    /// The position before the first record of a new epoch.
    pub(crate) fn begin_epoch() -> Self {
        Self {
            epoch: fastrand::u64(1..=i64::MAX.unsigned_abs()),
            n: 0,
        }
    }

    /// Whether `other` is a later position of the same epoch.
    pub(crate) fn is_before(self, other: Self) -> bool {
        self.epoch == other.epoch && self.n < other.n
    }

    /// Whether a state of this position reflects the record at `other`: it is of the same epoch, and not
    /// before it.
    pub(crate) fn includes(self, other: Self) -> bool {
        self.epoch == other.epoch && self.n >= other.n
    }

    pub(crate) fn is_known(self) -> bool {
        self.epoch != 0
    }
}
