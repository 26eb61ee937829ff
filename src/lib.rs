//! Caching, rate limiting and invalidation over Redis as composable tower layers.
#![allow(dead_code)] // while the rooms are being built; goes before the first release

mod body;
mod buffer;
pub mod cache;
mod clock;
mod collapse;
mod entry;
mod error;
mod fence;
mod future;
mod http_service;
mod identity;
pub mod keep;
mod key;
mod limiter;
mod local;
mod metrics;
mod origin;
mod passage;
mod peer;
mod quota;
pub mod rate_limit;
mod ready;
mod semantics;
mod store;
pub mod table;

// The guards of real servers; the contract suites inside the crate need them, too.
#[cfg(all(test, feature = "redis"))]
#[path = "../tests/support/mod.rs"]
mod support;

/// What the fuzz targets of this repository call. No part of the interface.
#[cfg(fuzzing)]
#[doc(hidden)]
#[path = "fuzz.rs"]
pub mod __fuzz;

pub use cache::CacheLayer;
pub use error::{BoxError, Error};
pub use identity::UserId;
pub use keep::Keep;
pub use key::Key;
pub use rate_limit::RateLimitLayer;
#[cfg(feature = "redis")]
pub use store::redis::{RedisStore, RedisStoreBuilder};
pub use table::{Limit, Route, Scope, Table};
