//! `CacheLayer` in front of services of every kind.

mod axum;
mod basics;
mod bounds;
mod collapse;
mod errors;
#[cfg(feature = "redis")]
mod faults;
#[cfg(feature = "redis")]
mod fleet;
mod freshness;
mod hostile;
mod kit;
mod leaks;
mod memory;
mod methods;
mod metrics;
mod options;
mod passages;
mod poison;
mod ranges;
mod readiness;
mod refresh;
mod servers;
#[cfg(feature = "redis")]
mod shared;
mod stage;
#[cfg(feature = "redis")]
mod tiers;
mod validation;
mod values;
mod variants;
mod waiting;
