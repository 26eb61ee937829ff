//! The state of the fence when a fill begins.

use crate::store::position::Position;

/// The fence's position, and the time, just before the inner service or the source of a value is read
/// (rule 1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture {
    /// The contiguous position; unknown until the journal has been reached for the first time.
    pub(crate) position: Position,
    /// The time on the monotonic clock, for
    /// [`LocalState::captured`](crate::store::entry::LocalState::captured).
    pub(crate) at: u64,
}
