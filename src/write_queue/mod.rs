//! The values of write-behind: writes that were accepted and are applied later.

pub(crate) mod answer;
mod applying;
mod codec;
mod counts;
mod dead_letter;
mod durability;
mod id;
pub(crate) mod request;
mod state;
mod status;

#[allow(unused_imports)]
pub(crate) use self::codec::Unreadable;
pub use self::{
    applying::Applying, counts::QueueCounts, dead_letter::DeadLetter, durability::Durability,
    id::WriteId, state::WriteState, status::WriteStatus,
};
