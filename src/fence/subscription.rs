//! The stream of applied invalidations, for the application's own caches.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::key::purge::Purge;

/// An applied invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppliedEvent {
    Purges(Arc<[Purge]>),
    /// Everything: events were missed, or records of the journal were lost.
    Everything,
}

/// The sending side.
#[derive(Debug)]
pub(super) struct EventSender(broadcast::Sender<AppliedEvent>);

impl EventSender {
    /// Sends an event; `event` is called only if there is a subscription.
    pub(super) fn send(&self, event: impl FnOnce() -> AppliedEvent) {
        if self.0.receiver_count() > 0 {
            // Fails only if the last subscription has just been dropped.
            let _ = self.0.send(event());
        }
    }

    pub(super) fn subscribe(&self) -> Subscription {
        Subscription(self.0.subscribe())
    }
}

impl Default for EventSender {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

/// A receiver of events, in the order in which this process applied them. An event may come twice.
#[derive(Debug)]
pub(crate) struct Subscription(broadcast::Receiver<AppliedEvent>);

impl Subscription {
    /// Waits for the next event; `None` once the fence has been dropped. A subscriber that falls too
    /// far behind gets [`AppliedEvent::Everything`].
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub(crate) async fn next(&mut self) -> Option<AppliedEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(_)) => Some(AppliedEvent::Everything),
            Err(RecvError::Closed) => None,
        }
    }
}

const BACKLOG: usize = 1024;
