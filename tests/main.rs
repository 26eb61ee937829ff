//! Integration tests.

#[cfg(feature = "redis")]
mod behind_checker;
mod body_types;
mod cache;
#[cfg(feature = "redis")]
mod checker;
mod common;
mod compile_fail;
mod examples;
mod invalidate;
mod keep;
mod rate_limit;
#[cfg(feature = "redis")]
mod store;
mod support;
mod write_behind;
mod write_through;
