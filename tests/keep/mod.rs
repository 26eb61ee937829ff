//! The cache API for code.

#[cfg(feature = "redis")]
mod many;
#[cfg(feature = "redis")]
mod reads;
