//! HTTP caching (RFC 9111 and its kin) as plain functions of values.
//!
//! No I/O, no async and no clock: times come in as arguments. In the order in which a request needs
//! them:
//!
//! - may this request be answered with what is stored: [`vary::choose`], [`sharing::may_serve`],
//!   [`freshness::usable`]; then how: [`conditional::evaluate`], [`range::select`];
//! - what to ask of the next hop: [`fields::remove_hop_by_hop`], [`conditional::validate`],
//!   [`partial::completion`];
//! - what to do with its answer: [`storable::decide`], [`fields::Storing`], [`update::update`],
//!   [`partial::combine`], [`invalidation::targets`];
//! - and what to say about it: [`cache_status::CacheStatus`].

pub(crate) mod byteranges;
pub(crate) mod cache_control;
pub(crate) mod cache_groups;
pub(crate) mod cache_status;
pub(crate) mod conditional;
pub(crate) mod dates;
pub(crate) mod etag;
pub(crate) mod fields;
pub(crate) mod freshness;
pub(crate) mod heuristics;
pub(crate) mod invalidation;
mod lifetime;
pub(crate) mod list;
pub(crate) mod no_vary_search;
pub(crate) mod partial;
pub(crate) mod policy;
mod preferences;
pub(crate) mod range;
pub(crate) mod reported;
pub(crate) mod sharing;
pub(crate) mod storable;
pub(crate) mod stored;
pub(crate) mod targeted;
pub(crate) mod update;
pub(crate) mod vary;
