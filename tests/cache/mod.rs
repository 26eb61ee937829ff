//! `CacheLayer`.

mod axum;
mod basics;
mod bounds;
mod errors;
#[cfg(feature = "redis")]
mod faults;
mod fill_buffer;
mod freshness;
mod hostile;
mod layer_markers;
mod memory;
mod methods;
mod metrics;
mod options;
mod poisoning;
#[cfg(feature = "redis")]
mod processes;
mod ranges;
mod readiness;
#[cfg(feature = "redis")]
mod redis;
mod refresh;
mod self_waiting;
mod servers;
mod single_flight;
mod user_isolation;

mod followers;
#[cfg(feature = "redis")]
mod tiers;
mod validation;
mod values;
mod variant_eviction;
mod variants;
