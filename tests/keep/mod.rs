//! The cache API for code.

#[cfg(feature = "macros")]
mod attributes;
#[cfg(feature = "redis")]
mod many;
#[cfg(feature = "redis")]
mod reads;
mod refresh;
#[cfg(feature = "redis")]
mod shared;
mod warm;
#[cfg(feature = "redis")]
mod write;
