//! The state that the layers and the public handle share: the table in use, the tiers, single flight
//! and the rate limiter.

pub(crate) mod acceptance;
pub(crate) mod coalesce;
pub(crate) mod core;
pub(crate) mod expiring_set;
pub(crate) mod fill;
pub(crate) mod fill_lock;
pub(crate) mod head;
mod key_globs;
mod known_tag_fields;
pub(crate) mod limiter;
mod local_tier;
mod pattern_removal;
pub(crate) mod queue_metrics;
mod reported_names;
pub(crate) mod request_extractors;
pub(crate) mod search_variances;
pub(crate) mod single_flight;
pub(crate) mod snapshot;
pub(crate) mod task_keys;
pub(crate) mod tiers;
mod variant_list;
pub(crate) mod write_reports;
pub(crate) mod write_targets;
