//! The contracts of the store. All are object-safe, and every method is atomic in the store.

pub(crate) mod channel;
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod limits;
pub(crate) mod plain;
pub(crate) mod queue;

use std::{future::Future, pin::Pin};

/// The future that a contract's method returns; boxed, so that the contracts are object-safe.
pub(crate) type StoreFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, crate::error::Error>> + Send + 'a>>;
