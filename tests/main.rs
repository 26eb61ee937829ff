//! Integration tests.

mod examples;
#[cfg(feature = "redis")]
mod support;
