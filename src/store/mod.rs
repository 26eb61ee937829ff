//! The store: contracts for entries, application values, the journal of invalidations, the channel
//! to other programs, and limits. Each is implemented in memory for one process, and on Redis for
//! several.
//!
//! Nothing here depends on tower or a body type, and no layer depends on Redis.

pub(crate) mod contracts;
pub(crate) mod entry;
pub(crate) mod memory;
pub(crate) mod position;
pub(crate) mod read_bounds;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod wire;
