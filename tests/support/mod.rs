//! Real Redis servers for tests, on free loopback ports and killed when dropped; conditions to wait
//! for.
//!
//! Used by the integration tests and, by path, by the tests inside the crate.
#![allow(dead_code, unused_imports)] // each of the two uses a part

pub(crate) mod certificates;
pub(crate) mod cluster;
mod damage;
mod process;
pub(crate) mod proxy;
pub(crate) mod resp;
pub(crate) mod server;
pub(crate) mod wait;

pub(crate) use self::{
    cluster::RedisCluster,
    damage::unreadable,
    resp::Reply,
    server::RedisServer,
    wait::{until, wait_for},
};
