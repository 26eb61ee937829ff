//! Workers on a queue of one process, whose replies can be lost.

mod kit;
mod layers;
mod leases;
mod outcomes;
#[cfg(feature = "redis")]
mod redis;
mod sharing;
mod shutdown;
