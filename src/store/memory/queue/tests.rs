//! The contract for the queue, fulfilled by the queue of one process.

use std::sync::Arc;

use super::MemoryQueue;
use crate::{
    clock::Clock,
    store::contracts::queue::suite::{TestQueue, run},
};

#[tokio::test(start_paused = true)]
async fn behaves_as_a_queue() {
    run(async |_| TestQueue {
        on: Arc::new(MemoryQueue::new(Arc::new(Clock::tokio()))),
        is_paused: true,
    })
    .await;
}
