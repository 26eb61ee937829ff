//! What is shared: four small contracts, in memory for one process and on Redis for any number.
//!
//! The store knows no tower, no `Service` and no body type; the rooms know no Redis.

pub(crate) mod contracts;
pub(crate) mod entry;
pub(crate) mod memory;
pub(crate) mod position;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod wire;

#[cfg(test)]
mod contract;
