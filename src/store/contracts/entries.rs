//! The contract of what stores entries.

use std::{fmt, sync::Arc, time::Duration};

use super::StoreFuture;
use crate::store::entry::Entry;

/// Entries by full key (variations included, namespace not).
///
/// Object-safe; every verb is atomic where the entries lie.
pub(crate) trait Entries: fmt::Debug + Send + Sync {
    /// The entry, unless it is missing, expired, damaged or of an unknown format.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Arc<Entry>>>;

    /// Stores `entry` until it expires, unless what is there has the same epoch and a later `n`.
    /// Answers whether it was stored.
    fn put<'a>(&'a self, key: &'a str, entry: &'a Arc<Entry>) -> StoreFuture<'a, bool>;

    /// Removes exact full keys; how many there were.
    fn remove<'a>(&'a self, keys: &'a [Box<str>]) -> StoreFuture<'a, u64>;

    /// Removes every full key that the Redis glob matches, in batches; how many there were.
    fn remove_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64>;

    /// Takes the lock of a key for `lease` if nobody holds it.
    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool>;

    /// Gives the lock back if it is still held with this token.
    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool>;
}
