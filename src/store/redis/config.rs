//! Settings for connecting to Redis.

use std::time::Duration;

/// Settings of the connections to one Redis.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Connections of this process (for a Cluster: to each of its nodes).
    pub(crate) connections: usize,
    /// How long a request waits for one command; see [`Command`](super::command::Command) for
    /// those that may take longer.
    pub(crate) deadline: Duration,
    /// The certificate authority of `rediss://` as PEM, in place of the public ones.
    pub(crate) root_certificate: Option<Vec<u8>>,
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            connections: threads.clamp(2, 4),
            deadline: Duration::from_millis(50),
            root_certificate: None,
        }
    }
}
