//! Integration tests.

mod cache;
mod examples;
mod invalidate;
mod rate_limit;
#[cfg(feature = "redis")]
mod store;
mod support;
