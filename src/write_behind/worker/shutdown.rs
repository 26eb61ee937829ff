//! The end of a worker.

use tokio::sync::watch;

/// How far a worker's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ShutdownPhase {
    Running,
    /// No call begins any more.
    NoNewCalls,
    /// The calls in progress are cancelled.
    CancelCalls,
}

/// Tells the attempts how far the worker's end has come.
#[derive(Debug)]
pub(super) struct Shutdown(watch::Sender<ShutdownPhase>);

impl Shutdown {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(ShutdownPhase::Running))
    }

    pub(super) fn enter(&self, phase: ShutdownPhase) {
        self.0.send_replace(phase);
    }

    pub(super) fn has_begun(&self) -> bool {
        *self.0.borrow() > ShutdownPhase::Running
    }

    /// Waits until the phase has begun.
    pub(super) async fn reaches(&self, phase: ShutdownPhase) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }
}
