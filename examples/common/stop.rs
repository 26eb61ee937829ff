use std::{io, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::{
    signal::unix::{SignalKind, signal},
    time,
};
use tower_keep::Keep;

/// How long a client may take to send a request's head, and requests in progress to end after a signal.
pub(crate) const GRACE_PERIOD: Duration = Duration::from_secs(30);

/// Returns a future that resolves at the first SIGTERM or SIGINT after this call.
///
/// Call it before [`announce`](super::announce), so that an early signal does not kill the process.
pub(crate) fn stop() -> io::Result<Shared<BoxFuture<'static, ()>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let first = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(first.boxed().shared())
}

/// Waits, last of all, until Redis has accepted the invalidations of this process.
pub(crate) async fn flush(keep: &Keep) {
    if time::timeout(FLUSH_TIMEOUT, keep.flush()).await.is_err() {
        tracing::warn!(
            "some invalidations were not delivered to Redis: other processes may serve old responses until they expire"
        );
    }
}

/// How long an unavailable Redis may delay the shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `server` until it ends, but at most [`GRACE_PERIOD`] after `stop`.
pub(crate) async fn until_stopped<F: Future>(server: F, stop: impl Future) -> Option<F::Output> {
    tokio::select! {
        outcome = server => Some(outcome),
        () = async { stop.await; time::sleep(GRACE_PERIOD).await } => {
            tracing::warn!("shutdown: aborting the requests still in progress");
            None
        }
    }
}
