//! Write-behind: accept a write durably, answer at once, apply it later and in order.

mod worker;

pub use self::worker::WriteBehindWorker;
pub use crate::{
    table::PendingMode,
    write_queue::{
        Applying, DeadLetter, Durability, QueueCounts, WriteId, WriteState, WriteStatus,
    },
};
