//! The machinery that the layers and the public handle share: the table's snapshot, the tiers,
//! single flight, and the limiter.

pub(crate) mod busy;
pub(crate) mod core;
pub(crate) mod expiring_set;
pub(crate) mod fill;
pub(crate) mod fill_lock;
pub(crate) mod head;
pub(crate) mod hit;
pub(crate) mod limiter;
pub(crate) mod local_tier;
pub(crate) mod lookup;
mod put;
pub(crate) mod query_rules;
pub(crate) mod single_flight;
pub(crate) mod snapshot;
pub(crate) mod snapshot_cache;
pub(crate) mod sweep;
pub(crate) mod targets;
