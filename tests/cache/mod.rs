//! `CacheLayer` in front of services of every kind.

mod basics;
mod collapse;
mod errors;
#[cfg(feature = "redis")]
mod fleet;
mod freshness;
mod kit;
mod leaks;
mod methods;
mod ranges;
mod readiness;
mod refresh;
#[cfg(feature = "redis")]
mod shared;
mod stage;
mod validation;
mod variants;
