//! The contract of the channel over which other programs publish and receive invalidations.

use std::fmt;

use super::StoreFuture;

/// Publishes and receives patterns. A message is delivered at most once, to current listeners only.
pub(crate) trait Channel: fmt::Debug + Send + Sync {
    /// Publishes patterns to other programs; processes of this keep do not receive them.
    fn publish<'a>(&'a self, patterns: &'a [String]) -> StoreFuture<'a, ()>;

    /// A listener for the patterns of other programs.
    fn listen(&self) -> Box<dyn Listener>;
}

/// Receives the patterns of other programs.
pub(crate) trait Listener: fmt::Debug + Send {
    /// Waits for messages; each is cut to [`MAX_MESSAGE`] bytes.
    ///
    /// # Errors
    ///
    /// The connection is lost, and with it the messages until the next call subscribes again.
    ///
    /// # Cancel safety
    ///
    /// No message is lost.
    fn next(&mut self) -> StoreFuture<'_, Vec<Box<[u8]>>>;
}

/// Longer messages are cut to this many bytes: one more than the longest pattern.
pub(crate) const MAX_MESSAGE: usize = 1025;
