//! HTTP caching (RFC 9111 and its kin) as plain functions of values.
//!
//! No I/O, no async and no clock: times come in as arguments.

pub(crate) mod freshness;
