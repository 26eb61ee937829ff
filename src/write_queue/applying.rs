use std::time::SystemTime;

use super::id::WriteId;

/// A request extension: the request is an accepted write, which a worker applies.
///
/// A write may be applied more than once. A service that stores the last `seq` of each key in the
/// transaction of its write, and does nothing for a `seq` that is not greater, applies each write once
/// and in order, whatever fails:
///
/// ```sql
/// UPDATE agents SET status = $status, last_seq = $seq WHERE id = $id AND last_seq < $seq
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applying {
    /// The write. It keeps its id through all attempts.
    pub id: WriteId,
    /// Greater than that of every earlier write of the same key.
    pub seq: u64,
    /// The number of this attempt, from 1 on.
    pub attempt: u32,
    /// When the write was accepted.
    pub accepted: SystemTime,
}
