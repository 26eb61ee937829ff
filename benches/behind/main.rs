//! Write-behind on Redis: accepting, applying, and what a GET costs that asks the queue.

mod accept;
mod apply;

#[path = "../support/flood.rs"]
mod flood;
#[path = "../support/raw.rs"]
mod raw;
#[path = "../support/servers.rs"]
mod servers;
#[path = "../support/shared.rs"]
mod shared;

use tokio::runtime::Builder;
use tower_keep::{
    Route, Scope, Table,
    table::{Behind, PendingMode, Write},
};

fn main() {
    // One thread for this process; the other core is for the server.
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async {
        accept::accept().await;
        apply::latency().await;
        apply::throughput().await;
    });
}

/// A route that is written behind, without bounds that matter here.
fn table(pending: PendingMode) -> Table {
    let route = Route::new("/agents/{id}/activity")
        .key("agent:{id}:activity")
        .scope(Scope::Public)
        .write(Write::Behind)
        .pending(pending)
        .pending_id("id");
    let behind = Behind::new()
        .max_queue(10_000_000)
        .max_per_key(1_000_000)
        .max_bytes(8 << 30);
    Table::new().host("*").route(route).behind(behind)
}
