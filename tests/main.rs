//! Integration tests.

mod cache;
mod examples;
#[cfg(feature = "redis")]
mod store;
#[cfg(feature = "redis")]
mod support;
