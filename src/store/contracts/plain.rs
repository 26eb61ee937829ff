//! The contract for application values that other programs read.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::StoreFuture;

/// Stores bare JSON by full key (namespace not included), without wire format or fence position.
pub(crate) trait Plain: fmt::Debug + Send + Sync {
    /// Returns the text under this key, whichever program wrote it; `None` if the value is an
    /// [entry](super::entries::Entries).
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>>;

    /// Returns the text under each key, in the order of the keys. A text that cannot be read counts as
    /// missing.
    fn get_plain_many<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Option<Bytes>>>;

    /// Returns how long the text under this key will be kept.
    fn plain_time_left<'a>(&'a self, key: &'a str) -> StoreFuture<'a, TimeLeft>;

    /// Stores the text for `ttl` in place of any other value.
    fn put_plain<'a>(&'a self, key: &'a str, json: &'a Bytes, ttl: Duration)
    -> StoreFuture<'a, ()>;

    /// Removes, in batches, all texts whose full key matches a Redis glob; returns how many.
    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64>;
}

/// How long a value can still be used. Returned by [`Keep::ttl`](crate::Keep::ttl).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeLeft {
    /// There is no such value.
    Missing,
    /// For ever: another program has stored the value without a TTL.
    Never,
    /// For this long.
    Left(Duration),
}

impl TimeLeft {
    /// The remaining time; `None` if there is no value, or if it never expires.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Left(left) => Some(left),
            Self::Missing | Self::Never => None,
        }
    }
}
