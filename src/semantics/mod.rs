//! HTTP caching (RFC 9111 and its kin) as plain functions of values.
//!
//! No I/O, no async and no clock: times come in as arguments.

pub(crate) mod byteranges;
pub(crate) mod cache_control;
pub(crate) mod cache_status;
pub(crate) mod conditional;
pub(crate) mod dates;
pub(crate) mod etag;
pub(crate) mod fields;
pub(crate) mod freshness;
pub(crate) mod heuristics;
pub(crate) mod invalidation;
mod lifetime;
mod list;
pub(crate) mod no_vary_search;
pub(crate) mod partial;
pub(crate) mod policy;
mod preferences;
pub(crate) mod range;
pub(crate) mod sharing;
pub(crate) mod storable;
pub(crate) mod targeted;
pub(crate) mod update;
pub(crate) mod vary;
