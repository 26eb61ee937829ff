//! `CacheLayer`, compared with an inner service that clones a prepared response, and with in-process caches.

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
