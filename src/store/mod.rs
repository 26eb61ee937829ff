//! What is shared: four small contracts, in memory for one process and on Redis for any number.
//!
//! The store knows no tower, no `Service` and no body type; the rooms know no Redis.

pub(crate) mod channel;
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod plain;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod wire;

#[cfg(test)]
mod contract;

use std::{future::Future, pin::Pin};

/// What a contract's verb answers with; boxed, so that the contracts are object-safe.
pub(crate) type StoreFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, crate::error::Error>> + Send + 'a>>;
