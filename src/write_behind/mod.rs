//! Write-behind: accept a write durably, answer at once, apply it later and in order.

#[allow(dead_code)] // until the layer calls it
mod pending;

pub use crate::{
    table::PendingMode,
    write_queue::{
        Applying, DeadLetter, Durability, QueueCounts, WriteId, WriteState, WriteStatus,
    },
};
