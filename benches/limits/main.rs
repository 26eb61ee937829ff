//! Rate limits beside `governor` and `tower_governor`, and beside a raw `EVALSHA` of the same
//! script.

#[path = "../support/mod.rs"]
mod support;

mod layer;
mod local;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod server;
#[cfg(feature = "redis")]
#[path = "../../tests/support/mod.rs"]
mod servers;

fn main() {
    local::run();
    layer::run();
    #[cfg(feature = "redis")]
    redis::run();
}

/// So many subjects take turns.
fn subjects() -> usize {
    if support::probing() { 500 } else { 10_000 }
}
