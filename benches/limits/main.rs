//! Rate limits, compared with `governor` and `tower_governor`, and with a raw `EVALSHA` of the same script.

#[path = "../support/mod.rs"]
mod support;

mod layer;
mod local;
mod recorded_call;
mod redis;
mod server_cpu;
#[path = "../support/servers.rs"]
mod servers;

fn main() {
    local::run();
    layer::run();
    redis::run();
}

/// The number of subjects that are used in turn.
fn subjects() -> usize {
    if support::probing() { 500 } else { 10_000 }
}
