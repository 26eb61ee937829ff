//! Accepting a write into the write-behind queue, for the layer and for code.

pub(crate) mod accept;
mod coalescing;
mod idempotency;
mod kept_fields;
pub(crate) mod layer_check;
pub(crate) mod not_accepted;
mod offered_write;
mod push;
#[cfg(test)]
mod push_tests;
pub(crate) mod queue_check;
pub(crate) mod queue_drain;
pub(crate) mod queue_settings;
pub(crate) mod state;
pub(crate) mod stored_write;
