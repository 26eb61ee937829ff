//! The contract for entries.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::StoreFuture;
use crate::store::entry::Entry;

/// Stores entries by full key (variations included, namespace not included).
pub(crate) trait Entries: fmt::Debug + Send + Sync {
    /// Returns the entry, unless it is missing, expired, damaged or of an unknown format.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Arc<Entry>>>;

    /// Returns the entry under each key, in the order of the keys. An entry that cannot be read counts as
    /// missing.
    fn get_many<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Option<Arc<Entry>>>>;

    /// Stores `entry` until it expires, unless the stored entry has the same epoch and a later `n`.
    /// Returns whether it was stored.
    fn put<'a>(&'a self, key: &'a str, entry: &'a Arc<Entry>) -> StoreFuture<'a, bool>;

    /// Removes full keys; returns how many existed.
    fn remove<'a>(&'a self, keys: &'a [Box<str>]) -> StoreFuture<'a, u64>;

    /// Removes, in batches, all entries whose full key matches a Redis glob; returns how many.
    fn remove_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64>;

    /// Acquires the lock of a key for `lease`; returns false if it is held.
    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool>;

    /// Releases the lock if it is still held with this token; returns whether it was.
    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool>;
}

#[cfg(test)]
pub(in crate::store) mod suite;
