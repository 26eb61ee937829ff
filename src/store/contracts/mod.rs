//! The contracts between the crate and where it stores things: object-safe, each verb atomic.

pub(crate) mod channel;
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod limits;
pub(crate) mod plain;

use std::{future::Future, pin::Pin};

/// What a contract's verb answers with; boxed, so that the contracts are object-safe.
pub(crate) type StoreFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, crate::error::Error>> + Send + 'a>>;
