//! Write-behind.

mod accept;
mod applied;
mod bounds;
mod idempotency;
mod kit;
mod prefer;
mod queue_api;
#[cfg(feature = "redis")]
mod redis;
mod status;
