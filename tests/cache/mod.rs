//! `CacheLayer` in front of services of every kind.

mod basics;
mod kit;
#[cfg(feature = "redis")]
mod shared;
