//! The shared store: what a hit in Redis costs, what a miss costs, and what a Redis costs that does
//! not answer.

mod fills;
mod hits;
mod outage;

// Not all that the benches share: an allocator that counts would cost that side most which allocates
// most.
#[path = "../support/flood.rs"]
mod flood;
#[path = "../support/inner.rs"]
#[allow(dead_code)]
mod inner;
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/shared.rs"]
mod shared;

#[path = "../../tests/support/mod.rs"]
mod servers;

use tokio::runtime::Builder;

fn main() {
    // One thread for us, the other core for the server.
    run(Builder::new_current_thread(), async {
        hits::hits("one thread").await;
        fills::fills().await;
        outage::outage().await;
    });
    // As servers run.
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(2);
    run(threads, hits::hits("two threads"));
}

fn run(mut builder: Builder, benches: impl Future<Output = ()>) {
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(benches);
}
