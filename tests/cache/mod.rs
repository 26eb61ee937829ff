//! `CacheLayer` in front of services of every kind.

mod basics;
mod collapse;
#[cfg(feature = "redis")]
mod fleet;
mod kit;
mod leaks;
mod readiness;
mod refresh;
#[cfg(feature = "redis")]
mod shared;
mod stage;
