//! The table and the layers, running it, and coming from elsewhere: what was written before, beside
//! what is written here.

#[doc = include_str!("table.md")]
pub mod table {}

#[doc = include_str!("layers.md")]
pub mod layers {}

#[cfg(feature = "redis")]
#[doc = include_str!("redis.md")]
pub mod redis {}

#[doc = include_str!("redis_py.md")]
pub mod from_redis_py {}

#[doc = include_str!("tower_http_cache.md")]
pub mod from_tower_http_cache {}

#[doc = include_str!("tower_governor.md")]
pub mod from_tower_governor {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[cfg(test)]
mod tests;
