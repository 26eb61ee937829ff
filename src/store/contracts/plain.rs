//! The contract for application values that other programs read.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::StoreFuture;

/// Stores bare JSON by full key (namespace not included), without wire format or fence position.
pub(crate) trait Plain: fmt::Debug + Send + Sync {
    /// Returns the text under this key, whichever program wrote it; `None` if the value is an
    /// [entry](super::entries::Entries).
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>>;

    /// Stores the text for `ttl` in place of any other value.
    fn put_plain<'a>(&'a self, key: &'a str, json: &'a Bytes, ttl: Duration)
    -> StoreFuture<'a, ()>;

    /// Removes, in batches, all texts whose full key matches a Redis glob; returns how many.
    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64>;
}
