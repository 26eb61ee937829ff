//! `CacheLayer` in front of services of every kind.

mod basics;
#[cfg(feature = "redis")]
mod fleet;
mod kit;
mod refresh;
#[cfg(feature = "redis")]
mod shared;
