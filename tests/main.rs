//! Integration tests.

mod cache;
#[cfg(feature = "redis")]
mod checker;
mod examples;
mod invalidate;
mod log;
#[cfg(feature = "redis")]
mod patience;
mod rate_limit;
#[cfg(feature = "redis")]
mod store;
mod support;
mod through;
