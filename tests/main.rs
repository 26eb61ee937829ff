//! Integration tests.

mod cache;
#[cfg(feature = "redis")]
mod checker;
mod examples;
mod invalidate;
mod log;
mod rate_limit;
#[cfg(feature = "redis")]
mod store;
mod support;
mod through;
