//! The guide: the table, the layers, operations, and migration from other libraries.
//!
//! | page | |
//! |---|---|
//! | [`table`] | every name of the table, with its type, default and an example |
//! | [`layers`] | the order of the layers, with a complete axum server |
//! | [`inner_service`] | what the layers require of the service they wrap; typical compile errors |
//! | `redis` | running with Redis: addresses, memory, permissions, outages |
//! | [`write_behind`] | accepting writes at once and applying them later: what is promised, what is not |
//! | [`operations`] | metrics, targets, alerts and logs |
//! | [`from_redis_py`] | migrating from a cache manager or decorators over redis-py |
//! | [`from_tower_http_cache`] | migrating from tower-http-cache |
//! | [`from_tower_governor`] | migrating from tower_governor |
//!
//! How invalidation is ordered, and what it guarantees, is described in
//! [`invalidate::protocol`](crate::invalidate::protocol).

#[doc = include_str!("table.md")]
pub mod table {}

#[doc = include_str!("layers.md")]
pub mod layers {}

#[doc = include_str!("inner_service.md")]
pub mod inner_service {}

#[cfg(feature = "redis")]
#[doc = include_str!("redis.md")]
pub mod redis {}

#[doc = include_str!("write_behind.md")]
pub mod write_behind {}

#[doc = include_str!("operations.md")]
pub mod operations {}

#[doc = include_str!("redis_py.md")]
pub mod from_redis_py {}

#[doc = include_str!("tower_http_cache.md")]
pub mod from_tower_http_cache {}

#[doc = include_str!("tower_governor.md")]
pub mod from_tower_governor {}

#[cfg(test)]
mod tests;
