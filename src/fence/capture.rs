//! Where a fill began.

use crate::store::position::Position;

/// The fence at the moment before the inner service, or the source of a value, is read (rule 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture {
    /// The contiguous position; unknown until the journal has been reached for the first time.
    pub(crate) position: Position,
    /// The monotonic clock, for [`LocalState::captured`](crate::store::entry::LocalState::captured).
    pub(crate) at: u64,
}
