use std::{io, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use tokio::{
    signal::unix::{SignalKind, signal},
    time,
};
use tower_keep::Keep;

/// How long a client may take to send a request's head, and requests under way to end after a stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A future that resolves at the first SIGTERM or SIGINT after this call, as its clones do.
///
/// Call it before the example is announced: a signal that comes at once must not kill it.
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

/// Waits until the store has taken what this process has invalidated: to be awaited last.
pub(crate) async fn flush(keep: &Keep) {
    if time::timeout(LAST, keep.flush()).await.is_err() {
        tracing::warn!("the store has not taken every invalidation");
    }
}

/// How long a store that does not answer may delay the end.
const LAST: Duration = Duration::from_secs(5);

/// What `server` comes to, unless it does not end within [`PATIENCE`] after the stop.
pub(crate) async fn patiently<F: Future>(server: F, stop: impl Future) -> Option<F::Output> {
    tokio::select! {
        outcome = server => Some(outcome),
        () = async { stop.await; time::sleep(PATIENCE).await } => {
            tracing::warn!("requests still under way are broken off");
            None
        }
    }
}
