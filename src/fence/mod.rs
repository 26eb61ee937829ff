//! The fence: decides which stored entries may still be used.
//!
//! Every invalidation is a record in the journal, which all processes share. The fence mirrors the
//! journal. An entry carries the position up to which the process that filled it had applied the journal
//! before it read the entry's content, and is usable while no later record names it.
//!
//! If the mirror has not changed since an entry's last check, [`Fence::check`](core::Fence::check)
//! compares two stamps only. Code comments cite the rules of the protocol below as "rule N".
#![doc = include_str!("protocol.md")]

mod appender;
pub(crate) mod capture;
pub(crate) mod config;
pub(crate) mod core;
pub(crate) mod declaration;
mod declared_record;
pub(crate) mod entry_names;
mod journal_sync;
mod metrics;
mod mirror;
mod pattern;
mod pubsub;
mod shared_mirror;
pub(crate) mod subscription;
mod target_index;
mod tasks;
mod trust;
pub(crate) mod verdict;

#[cfg(test)]
mod kit_for_tests;
#[cfg(all(test, feature = "redis"))]
mod redis_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
