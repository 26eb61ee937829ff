//! The store that processes share, on Redis or Valkey: one server, Sentinels, or a Cluster.

mod address;
mod batch;
mod breaker;
mod call;
mod circuit;
mod client;
mod cluster;
mod command;
mod config;
mod connect;
mod connection;
mod entries;
mod error;
mod flush;
pub(crate) mod journal;
mod key_batches;
pub(crate) mod limits;
mod metrics;
mod permissions;
mod pool;
pub(crate) mod queue;
mod script;
mod sentinel;
mod server;
mod slot;
mod state;
mod store;
mod supervisor;
mod timed_reply;
mod tls;
mod topology;

#[cfg(test)]
mod tests;

pub(crate) use self::entries::RedisEntries;
pub use self::store::{RedisStore, RedisStoreBuilder};
#[cfg(test)]
pub(crate) use self::{client::RedisClient, config::Config};
