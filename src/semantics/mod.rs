//! HTTP caching (RFC 9111 and related standards) as plain functions of values.
//!
//! There is no I/O, no async code and no clock: times are arguments. In the order in which a
//! request needs them:
//!
//! - whether a stored response may answer a request: [`vary::choose`], [`sharing::may_serve`],
//!   [`freshness::usable`]; and how: [`conditional::is_not_modified`], [`range::select`];
//! - what to request from the next hop: [`conditional::validate`], [`partial::completion`];
//! - what to do with its response: [`storable::decide`], [`stored_fields::FieldFilter`],
//!   [`update::update`], [`partial::combine`], [`invalidation::targets`];
//! - and how to report how the request was handled: [`cache_status::CacheStatus`].

pub(crate) mod byteranges;
pub(crate) mod cache_control;
pub(crate) mod cache_groups;
pub(crate) mod cache_report;
pub(crate) mod cache_status;
pub(crate) mod conditional;
pub(crate) mod dates;
pub(crate) mod etag;
pub(crate) mod freshness;
pub(crate) mod grpc;
pub(crate) mod heuristics;
pub(crate) mod idempotency_key;
pub(crate) mod invalidation;
mod lifetime;
pub(crate) mod list;
pub(crate) mod no_vary_search;
pub(crate) mod partial;
pub(crate) mod prefer;
mod preferences;
pub(crate) mod range;
pub(crate) mod refresh_policy;
pub(crate) mod request_head;
pub(crate) mod sharing;
pub(crate) mod storable;
pub(crate) mod storage_policy;
pub(crate) mod stored_fields;
pub(crate) mod stored_response;
pub(crate) mod targeted;
pub(crate) mod update;
pub(crate) mod upgrade;
pub(crate) mod vary;
