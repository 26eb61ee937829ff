use std::time::Duration;

/// The settings of a [`WriteBehindWorker`](super::WriteBehindWorker).
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkerSettings {
    /// How many writes are applied at the same time.
    pub(super) concurrency: usize,
    pub(super) lease: Duration,
    /// The longest time that the service may take.
    pub(super) longest_call: Duration,
    /// How long the end of the worker waits for calls in progress.
    pub(super) grace: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            concurrency: 16,
            lease: Duration::from_secs(30),
            longest_call: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        }
    }
}
