//! Waiting until the queue in memory is empty.

use std::time::Duration;

use tokio::time::sleep;

use crate::engine::core::Engine;

/// The pause between two looks at the queue.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until every write that was queued in memory has ended. Returns at once if the queue is in Redis.
pub(crate) async fn wait_until_empty(engine: &Engine) {
    if engine.is_shared() || !engine.acceptance.has_accepted() {
        return;
    }
    while engine
        .queue
        .counts()
        .await
        .is_ok_and(|counts| counts.waiting > 0)
    {
        sleep(PAUSE).await;
    }
}
