use std::time::Duration;

use super::context::WorkerContext;

/// Sets the gauges of the queue every few seconds, for ever.
pub(super) async fn refresh_gauges(context: &WorkerContext) {
    loop {
        // If the store does not answer, the gauges keep their values.
        if let Ok(counts) = context.queue.counts().await {
            context.engine.queue_metrics.observe(&counts);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

const INTERVAL: Duration = Duration::from_secs(5);
