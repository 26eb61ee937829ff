use std::time::Duration;

/// The size of the write-behind queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Writes that have not ended, those in flight included.
    pub waiting: u64,
    /// Writes that a worker is applying.
    pub in_flight: u64,
    /// Writes that were given up and are kept for inspection.
    pub dead: u64,
    /// The bytes of all writes that the queue holds.
    pub bytes: u64,
    /// How long the oldest write that has not ended has been waiting; zero if there is none.
    pub oldest: Duration,
    /// Writes whose record was removed by something else than the queue.
    pub lost: u64,
    /// Whether the queue is paused: writes are accepted, but not applied.
    pub paused: bool,
}
