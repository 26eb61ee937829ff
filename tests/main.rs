//! Integration tests.

mod cache;
mod examples;
mod rate_limit;
#[cfg(feature = "redis")]
mod store;
#[cfg(feature = "redis")]
mod support;
