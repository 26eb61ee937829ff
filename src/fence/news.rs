//! Applied invalidations, for the application's own caches.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::key::purge::Purge;

/// What an application that keeps something of its own should drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Purges(Arc<[Purge]>),
    /// Some were missed, or nobody can say.
    Everything,
}

/// The sending side; nothing is made when nobody listens.
#[derive(Debug)]
pub(super) struct Channel(broadcast::Sender<News>);

impl Default for Channel {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Channel {
    pub(super) fn tell(&self, news: impl FnOnce() -> News) {
        if self.0.receiver_count() > 0 {
            // Fails only when the last listener has just left.
            let _ = self.0.send(news());
        }
    }

    pub(super) fn subscribe(&self) -> Subscription {
        Subscription(self.0.subscribe())
    }
}

/// Invalidations from now on, in the order in which this process applied them; some may come twice.
#[derive(Debug)]
pub(crate) struct Subscription(broadcast::Receiver<News>);

impl Subscription {
    /// The next; `None` when the keep is gone. Who is too slow is told [`News::Everything`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<News> {
        match self.0.recv().await {
            Ok(news) => Some(news),
            Err(RecvError::Lagged(_)) => Some(News::Everything),
            Err(RecvError::Closed) => None,
        }
    }
}

const BACKLOG: usize = 1024;
