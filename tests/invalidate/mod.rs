//! `InvalidateLayer`, and invalidations by the application.

mod ambiguous_paths;
mod api;
#[cfg(feature = "axum")]
mod axum;
mod committed;
mod declared_write;
mod grpc;
mod journal_size;
mod layer;
mod methods;
mod outcomes;
mod races;
#[cfg(feature = "redis")]
mod redis;
mod reload;
mod stack;
mod strangers;
mod tags;
mod targets;
mod unfinished_content;
mod unread_content;
