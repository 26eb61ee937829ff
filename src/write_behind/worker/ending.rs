//! The end of an attempt, in the journal and in the queue.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{context::WorkerContext, lease::ClaimLease};
use crate::{
    clock::Backoff,
    engine::acceptance::queue_settings,
    store::contracts::queue::{AttemptEnd, AttemptOutcome, ClaimToken, ClaimedWrite},
};

/// Ends an attempt in the queue: repeats it until there is an answer, or the lease is lost. Returns
/// whether the queue has taken it.
pub(super) async fn end(
    context: &WorkerContext,
    token: &ClaimToken,
    lease: &mut ClaimLease<'_>,
    end: &AttemptEnd,
) -> bool {
    let retention = queue_settings::retention(&context.engine.snapshot.load().plan.behind);
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    // Whether a reply was lost: the queue may have taken the end.
    let is_unanswered = AtomicBool::new(false);
    let repeated = async {
        loop {
            match context.queue.end(token, end, &retention).await {
                Ok(ended) => return ended || is_unanswered.load(Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(%error, id = %token.id, "the end of an attempt is sent again");
                }
            }
            is_unanswered.store(true, Ordering::Relaxed);
            backoff.wait().await;
        }
    };
    tokio::select! {
        biased;
        ended = repeated => ended,
        () = lease.keep() => is_unanswered.load(Ordering::Relaxed),
    }
}

/// Counts and logs what has become of a write.
pub(super) fn report(context: &WorkerContext, claimed: &ClaimedWrite, end: &AttemptEnd) {
    let metrics = &context.engine.queue_metrics;
    let (id, key, attempt) = (claimed.token.id, &*claimed.token.key, claimed.attempt);
    let reason = end.reason.as_deref().unwrap_or_default();
    match end.outcome {
        AttemptOutcome::Done => {
            let now = context.engine.clock.now().wall;
            metrics.applied.increment(1);
            metrics.accept_to_apply.record(now.since(claimed.accepted));
            tracing::debug!(%id, key, attempt, "a queued write was applied");
        }
        AttemptOutcome::Again(delay) => {
            metrics.retried.increment(1);
            tracing::debug!(%id, key, attempt, reason, ?delay, "a queued write is tried again");
        }
        AttemptOutcome::Dead { hold } => {
            metrics.dead.increment(1);
            tracing::warn!(
                %id, key, attempt, reason, hold,
                "a queued write was given up: it is kept as a dead letter, to be retried or deleted"
            );
        }
        AttemptOutcome::Back => tracing::debug!(%id, key, reason, "a queued write was handed back"),
    }
}
