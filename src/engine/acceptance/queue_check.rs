//! Whether the store can keep the promise of an accepted write.

use std::sync::Arc;

use crate::{
    engine::{core::Engine, snapshot::Snapshot},
    error::Error,
};

/// Asks the store whether it can keep the table's promise, if a route queues writes.
///
/// # Errors
///
/// If it cannot; the error says what to change. A store that does not answer is asked again at the first
/// write.
#[cfg(feature = "redis")]
pub(crate) async fn check(engine: &Engine) -> Result<(), Error> {
    let snapshot = engine.snapshot.load_full();
    if !snapshot.plan.behind_routes() {
        return Ok(());
    }
    engine.acceptance.begin_check();
    match engine.queue.check(snapshot.plan.behind.durable).await {
        Err(error) if error.is_unavailable() => {
            engine.acceptance.check_again();
            Ok(())
        }
        checked => checked,
    }
}

/// At the first write, logs that the queue is in memory or, in the background, that the store cannot keep
/// the table's promise.
pub(super) fn report_once(engine: &Arc<Engine>, snapshot: &Snapshot) {
    if !engine.is_shared() {
        if engine.acceptance.is_first() {
            tracing::warn!(
                "write-behind queues writes in memory (`[behind] volatile`): what has not been applied when the process ends is lost; await `Keep::flush` before that"
            );
        }
    } else if engine.acceptance.begin_check() {
        let (engine, durability) = (Arc::clone(engine), snapshot.plan.behind.durable);
        tokio::spawn(async move {
            let checked = engine.queue.check(durability).await;
            report(&engine, checked);
        });
    }
}

fn report(engine: &Engine, checked: Result<(), Error>) {
    match checked {
        Ok(()) => {}
        Err(error) if error.is_unavailable() => engine.acceptance.check_again(),
        Err(error) => tracing::error!(
            %error,
            "write-behind: writes are accepted, but the store may lose them"
        ),
    }
}
