//! Waits for a reply of Redis, and measures how long it took.

use std::{pin::pin, time::Duration};

use redis::{RedisError, RedisResult};
use tokio::time::{Instant, timeout_at};

/// A reply and how long it took.
pub(super) type TimedReply<T> = Result<(T, Duration), CallFailure>;

/// Why there is no reply.
#[derive(Clone, Debug)]
pub(super) enum CallFailure {
    TimedOut,
    /// The task or the connection that would have sent the command is gone.
    NotSent,
    Failed(RedisError),
}

/// Waits for a reply for at most `allowed`, and measures how long it took.
pub(super) async fn time_reply<T>(
    allowed: Duration,
    reply: impl Future<Output = RedisResult<T>>,
) -> TimedReply<T> {
    // One reading of the clock serves both the deadline and the metric.
    let sent = Instant::now();
    // Pinned in place, which saves a move of the future.
    match timeout_at(sent + allowed, pin!(reply)).await {
        Ok(Ok(value)) => Ok((value, sent.elapsed())),
        Ok(Err(error)) => Err(CallFailure::Failed(error)),
        Err(_) => Err(CallFailure::TimedOut),
    }
}
