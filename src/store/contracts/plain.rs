//! The contract of what stores application values that other programs read.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::StoreFuture;

/// Bare JSON by full key (namespace not included): no format of ours, no fence position.
pub(crate) trait Plain: fmt::Debug + Send + Sync {
    /// The text under this key, whoever wrote it; nothing of what [`Entries`](super::entries::Entries) put.
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>>;

    /// Stores the text for `ttl`, whatever was there.
    fn put_plain<'a>(&'a self, key: &'a str, json: &'a Bytes, ttl: Duration)
    -> StoreFuture<'a, ()>;

    /// Removes every text whose full key the Redis glob matches, in batches; how many there were.
    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64>;
}
