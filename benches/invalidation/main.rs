//! What an invalidation costs, and how long it takes to another process.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../tests/support/mod.rs"]
mod servers;

mod cost;
mod kit;
mod propagation;

fn main() {
    cost::run();
    propagation::run();
}
