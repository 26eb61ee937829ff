//! `InvalidateLayer`, and invalidations by the application.

mod api;
mod declared;
mod grpc;
mod kit;
mod layer;
mod outcomes;
mod races;
mod reload;
#[cfg(feature = "redis")]
mod shared;
mod tags;
mod targets;
