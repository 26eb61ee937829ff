//! `CacheLayer` in front of services of every kind.

mod basics;
mod kit;
