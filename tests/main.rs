//! Integration tests.

#[cfg(feature = "redis")]
mod support;
