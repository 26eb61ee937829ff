//! The shared store: a hit in Redis, a miss, and requests while Redis does not respond.

mod fills;
mod hits;
mod outage;

// Not `support/mod.rs`: its counting allocator would slow down the side that allocates more.
#[path = "../support/flood.rs"]
mod flood;
#[path = "../support/inner.rs"]
#[allow(dead_code)]
mod inner;
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/shared.rs"]
mod shared;

#[path = "../support/servers.rs"]
mod servers;

use tokio::runtime::Builder;

fn main() {
    // One thread for this process; the other core is for the server.
    run(Builder::new_current_thread(), async {
        hits::hits("one thread").await;
        fills::fills().await;
        outage::outage().await;
    });
    // Two threads, as in a server.
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(2);
    run(threads, hits::hits("two threads"));
}

fn run(mut builder: Builder, benches: impl Future<Output = ()>) {
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(benches);
}
