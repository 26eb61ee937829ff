//! `CacheLayer`.

mod ambiguous_paths;
mod axum;
mod basics;
mod bounds;
mod errors;
#[cfg(feature = "redis")]
mod faults;
mod freshness;
mod hostile;
mod hosts;
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
mod servers;
mod single_flight;
mod user_isolation;

mod followers;
#[cfg(feature = "redis")]
mod tiers;
mod validation;
mod values;
mod variants;
