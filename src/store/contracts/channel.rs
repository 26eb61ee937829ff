//! The contract of the channel on which other programs say, and hear, what was invalidated.

use std::fmt;

use super::StoreFuture;

/// Delivered at most once, to whoever listens at the moment. Object-safe.
pub(crate) trait Channel: fmt::Debug + Send + Sync {
    /// Tells other programs; our own processes do not hear it as theirs.
    fn publish<'a>(&'a self, patterns: &'a [String]) -> StoreFuture<'a, ()>;

    /// A listener to what other programs say.
    fn listen(&self) -> Box<dyn Listener>;
}

/// Hears other programs.
pub(crate) trait Listener: fmt::Debug + Send {
    /// Waits for messages, a few at a time, cut where they are longer than any pattern.
    ///
    /// # Errors
    ///
    /// The connection is lost, and with it what was said in the meantime; the next call listens anew.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    fn next(&mut self) -> StoreFuture<'_, Vec<Box<[u8]>>>;
}

/// Where longer messages are cut, in bytes: a pattern has at most one less.
pub(crate) const CUT: usize = 1025;
