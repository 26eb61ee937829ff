//! Write-behind.

mod accept;
mod bounds;
mod idempotency;
mod kit;
mod prefer;
mod queue_api;
mod status;
