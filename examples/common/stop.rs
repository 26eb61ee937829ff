use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// A future that resolves at the first SIGTERM or SIGINT after this call.
///
/// Call it before the example is announced: a signal that comes at once must not kill it.
pub(crate) fn stop() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
