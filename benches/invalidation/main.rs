//! The cost of an invalidation, the cost of a write-through, and the time until another process has applied an
//! invalidation.

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/servers.rs"]
mod servers;

mod cost;
mod kit;
mod propagation;
mod receiver;
mod through;

fn main() {
    if receiver::run_if_receiver() {
        return;
    }
    cost::run();
    through::run();
    propagation::run();
}
