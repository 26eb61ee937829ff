//! `CacheLayer`.

mod ambiguous_paths;
mod axum;
mod basics;
#[cfg(feature = "redis")]
mod bound_entries;
mod bounds;
mod cache_status;
mod conditional_fill;
mod credentials;
mod errors;
#[cfg(feature = "redis")]
mod faults;
mod fill_buffer;
mod freshness;
mod grpc;
mod hostile;
mod hosts;
mod keys;
mod layer_markers;
mod memory;
mod methods;
mod metrics;
mod options;
#[cfg(feature = "redis")]
mod planted_locks;
mod poisoning;
#[cfg(feature = "redis")]
mod processes;
mod ranges;
mod readiness;
#[cfg(feature = "redis")]
mod redis;
mod refresh;
mod refresh_credentials;
mod refusals;
mod self_waiting;
mod servers;
mod single_flight;
mod unlisted;
mod user_isolation;

mod followers;
#[cfg(feature = "redis")]
mod tiers;
mod validation;
mod values;
mod variant_eviction;
mod variants;
mod withdrawn;
