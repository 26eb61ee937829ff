//! Waiting for the end of a write.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::{
    engine::{
        acceptance::{accept::AcceptedWrite, stored_write},
        core::Engine,
    },
    write_queue::{WriteState, answer::QueuedAnswer},
};

/// The pauses between two questions to the queue; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is known about a write after waiting for its end.
pub(super) struct FinalState {
    pub(super) state: WriteState,
    /// The service's answer, if the write has ended with one and all of it was kept.
    pub(super) answer: Option<QueuedAnswer>,
}

/// Waits up to `longest` until a write has ended. The queue is asked at least once.
pub(super) async fn wait_for(
    engine: &Engine,
    accepted: AcceptedWrite,
    longest: Duration,
) -> FinalState {
    let end = Instant::now() + longest;
    let mut pause = FIRST_PAUSE;
    let mut known = FinalState {
        state: accepted.state,
        answer: None,
    };
    loop {
        match stored_write::find(engine, accepted.id).await {
            Ok(Some(stored)) => {
                known.state = stored.state;
                known.answer = stored_write::answer(&stored).filter(|answer| !answer.is_cut);
            }
            // It has ended, and its result is no longer kept.
            Ok(None) => return known,
            // It is in the queue, even if the store does not answer now.
            Err(error) => tracing::debug!(%error, "the status of a write is not known"),
        }
        if known.state.has_ended() || Instant::now() >= end {
            return known;
        }
        sleep_until(end.min(Instant::now() + pause)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
