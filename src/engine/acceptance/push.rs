//! Pushing a write, and repeating it while its reply is lost.

use std::time::Duration;

use tokio::time::Instant;

use super::not_accepted::NotAccepted;
use crate::{
    clock::Backoff,
    store::contracts::queue::{NewWrite, Pushed, Queue, QueueBounds},
};

/// How long a push is repeated after its first failure: a reconnection takes less, an outage longer.
const REPEAT_FOR: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// Pushes a write. If the reply is lost, it is pushed again with the same id, so that it is accepted once
/// in any case.
///
/// # Errors
///
/// [`NotAccepted::Refused`] if the store has refused every attempt, [`NotAccepted::Unknown`] if it may
/// have executed one.
pub(super) async fn push(
    queue: &dyn Queue,
    write: &NewWrite,
    bounds: &QueueBounds,
) -> Result<Pushed, NotAccepted> {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut first_failure = None;
    let mut may_be_accepted = false;
    loop {
        let error = match queue.push(write, bounds).await {
            Ok(pushed) => return Ok(pushed),
            Err(error) => error,
        };
        let is_final = error.is_refused() || error.is_config();
        may_be_accepted |= !is_final;
        let since = *first_failure.get_or_insert_with(Instant::now);
        if is_final || since.elapsed() >= REPEAT_FOR {
            return Err(match may_be_accepted {
                true => NotAccepted::Unknown(error),
                false => NotAccepted::Refused(error),
            });
        }
        backoff.wait().await;
    }
}
