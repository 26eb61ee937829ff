//! Coming from elsewhere: what was written before, beside what is written here. And running it.

#[doc = include_str!("redis_py.md")]
pub mod from_redis_py {}

#[doc = include_str!("tower_http_cache.md")]
pub mod from_tower_http_cache {}

#[doc = include_str!("tower_governor.md")]
pub mod from_tower_governor {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[cfg(all(test, feature = "redis"))]
mod tests;
