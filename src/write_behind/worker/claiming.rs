//! Taking a write from the queue.

use std::time::Duration;

use super::context::WorkerContext;
use crate::{
    clock::Backoff,
    fence::declaration::Declaration,
    store::contracts::queue::{Claim, ClaimTerms, FirstWrite},
};

/// The reply to a claim.
#[derive(Debug)]
pub(super) struct ClaimReply {
    pub(super) claim: Claim,
    /// What the monotonic clock read when it was sent for the first time.
    pub(super) asked: u64,
}

/// Claims the first write of a key. Asks again with the same token if no reply comes, so that a lost
/// reply does not use up an attempt. `None` if there is none while a lease could still be useful.
pub(super) async fn claim(context: &WorkerContext, first: &FirstWrite) -> Option<ClaimReply> {
    let plan = &context.engine.snapshot.load().plan.behind;
    let terms = ClaimTerms {
        // The declaration of the attempt has the same token.
        token: Declaration::random_token(),
        lease: context.settings.lease,
        attempts: plan.attempts,
        max_age: plan.max_age,
    };
    let asked = context.engine.clock.mono();
    let is_useful = || {
        let waited = Duration::from_nanos(context.engine.clock.mono().saturating_sub(asked));
        waited < terms.lease / 2
    };
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    while is_useful() {
        match context.queue.claim(first, &terms).await {
            Ok(claim) => return Some(ClaimReply { claim, asked }),
            Err(error) => tracing::debug!(%error, id = %first.id, "a claim is sent again"),
        }
        backoff.wait().await;
    }
    None
}
