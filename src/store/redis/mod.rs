//! The store on Redis or Valkey, single, behind Sentinels or a Cluster: what any number of processes share.

mod address;
mod breaker;
mod connection;
mod entries;
mod exchange;
mod fault;
mod gather;
pub(crate) mod journal;
mod keeper;
pub(crate) mod limits;
mod link;
mod metrics;
mod permissions;
mod script;
mod sentinel;
mod store;
mod topology;
mod verb;

#[cfg(test)]
mod tests;

pub use self::store::{RedisStore, RedisStoreBuilder};
#[allow(unused_imports)] // until journal, limits and queue are here
pub(crate) use self::{
    connection::{Config, Connections, Dedicated},
    entries::RedisEntries,
    script::{Arg, Script},
    topology::Primary,
    verb::Verb,
};
