//! `CacheLayer` beside its floor, an inner service that clones a ready answer, and beside the
//! caches that hold what it holds.

#[path = "../support/mod.rs"]
mod support;

mod fence;
mod hit;
mod kit;
mod pass;
mod peers;
mod threads;

fn main() {
    pass::run();
    hit::run();
    fence::run();
    peers::run();
    threads::run();
}
