//! What an invalidation costs, what a write that is stored costs, and how long it takes until
//! another process knows.

#[path = "../support/mod.rs"]
mod support;

#[path = "../../tests/support/mod.rs"]
mod servers;

mod cost;
mod kit;
mod propagation;
mod receiver;
mod through;

fn main() {
    if receiver::listened() {
        return;
    }
    cost::run();
    through::run();
    propagation::run();
}
