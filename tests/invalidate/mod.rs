//! `InvalidateLayer`, and invalidations by the application.

mod api;
mod declared_write;
mod grpc;
mod journal_size;
mod layer;
mod outcomes;
mod races;
#[cfg(feature = "redis")]
mod redis;
mod reload;
mod stack;
mod tags;
mod targets;
