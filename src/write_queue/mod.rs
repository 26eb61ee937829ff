//! The values of write-behind: writes that were accepted and are applied later.

pub(crate) mod answer;
mod applying;
mod codec;
mod counts;
mod dead_letter;
mod durability;
mod id;
mod pending_write;
pub(crate) mod request;
mod state;
mod status;

pub(crate) use self::codec::{MAX_FIELDS, Unreadable};
pub use self::{
    applying::Applying, counts::QueueCounts, dead_letter::DeadLetter, durability::Durability,
    id::WriteId, pending_write::PendingWrite, state::WriteState, status::WriteStatus,
};
