//! The channel `cache:invalidate`, on which other programs publish and receive patterns.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use metrics::{Counter, counter};
use tokio::sync::{Notify, watch};

use super::pattern::{pattern_of, target_of};
use crate::{
    error::ignore_poison,
    key::{glob::MAX_PATTERN, purge::Purge},
    store::contracts::channel::Channel,
};

pub(super) struct PubSub {
    /// The patterns to publish; `*` replaces more than [`MAX_QUEUED`]. `None` until there is a
    /// publisher.
    queue: Mutex<Option<VecDeque<String>>>,
    added: Notify,
    /// Whether a pattern is queued or being published. Written under the lock on `queue`.
    busy: watch::Sender<bool>,
    received: Counter,
    malformed: Counter,
}

impl PubSub {
    /// Queues the patterns of the purges; the future of [`publisher`](Self::publisher) sends them.
    pub(super) fn publish(&self, purges: &[Purge]) {
        if let Some(queue) = self.lock().as_mut() {
            queue.extend(purges.iter().filter_map(|purge| pattern_of(&purge.target)));
            if queue.len() > MAX_QUEUED {
                *queue = VecDeque::from(["*".to_owned()]);
            }
            if !queue.is_empty() {
                self.busy.send_replace(true);
                self.added.notify_one();
            }
        }
    }

    /// Returns a future that publishes the queued patterns and never ends. Patterns that fail to be
    /// published are lost.
    pub(super) fn publisher(
        self: &Arc<Self>,
        channel: Arc<dyn Channel>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let this = Arc::clone(self);
        this.lock().get_or_insert_default();
        async move {
            loop {
                let patterns = this.take_batch().await;
                if let Err(error) = channel.publish(&patterns).await {
                    tracing::warn!(
                        %error,
                        patterns = patterns.len(),
                        "invalidations were not published to other programs and are lost to them"
                    );
                }
                this.end_batch();
            }
        }
    }

    /// Waits until no pattern is queued or being published.
    pub(super) async fn wait_until_published(&self) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.busy.subscribe().wait_for(|busy| !busy).await;
    }

    /// The purges that received messages name. A malformed pattern may invalidate more than was
    /// intended.
    pub(super) fn receive(&self, messages: &[Box<[u8]>]) -> Vec<Purge> {
        let targets = messages.iter().filter_map(|message| {
            self.received.increment(1);
            if is_malformed(message) {
                self.malformed.increment(1);
                tracing::debug!(bytes = message.len(), "received a malformed pattern");
            }
            target_of(message)
        });
        targets.map(Purge::hard).collect()
    }

    async fn take_batch(&self) -> Vec<String> {
        loop {
            let batch = self.try_take_batch();
            if !batch.is_empty() {
                return batch;
            }
            self.added.notified().await;
        }
    }

    fn try_take_batch(&self) -> Vec<String> {
        let mut queue = self.lock();
        let queue = queue.get_or_insert_default();
        queue.drain(..queue.len().min(MAX_BATCH)).collect()
    }

    fn end_batch(&self) {
        let queue = self.lock();
        let left = queue.as_ref().is_some_and(|left| !left.is_empty());
        self.busy.send_replace(left);
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<String>>> {
        ignore_poison(self.queue.lock())
    }
}

impl Default for PubSub {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            added: Notify::default(),
            busy: watch::Sender::default(),
            received: counter!("tower_keep_foreign_messages_total"),
            malformed: counter!("tower_keep_foreign_odd_total"),
        }
    }
}

fn is_malformed(message: &[u8]) -> bool {
    message.is_empty()
        || message.len() > MAX_PATTERN
        || std::str::from_utf8(message).map_or(true, |text| text.contains(char::is_control))
}

const MAX_QUEUED: usize = 8192;

/// The maximum number of patterns that one script publishes.
const MAX_BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        key::purge::PurgeTarget,
        store::contracts::{StoreFuture, channel::Listener},
    };

    /// Publishes when the test releases it.
    #[derive(Debug, Default)]
    struct PausedChannel {
        release: Notify,
    }

    impl Channel for PausedChannel {
        fn publish<'a>(&'a self, _: &'a [String]) -> StoreFuture<'a, ()> {
            Box::pin(async {
                self.release.notified().await;
                Ok(())
            })
        }

        fn listen(&self) -> Box<dyn Listener> {
            unreachable!("the test only publishes")
        }
    }

    /// Regression: a purge of a tag, which has no pattern, found the queue empty and ended the wait of
    /// `Keep::flush` while another purge was still being published.
    #[tokio::test]
    async fn a_purge_without_a_pattern_does_not_end_the_wait_for_others() {
        let (pubsub, channel) = (Arc::<PubSub>::default(), Arc::<PausedChannel>::default());
        let mut publisher = Box::pin(pubsub.publisher(Arc::clone(&channel) as _));
        let is_published = || pubsub.wait_until_published().now_or_never().is_some();
        pubsub.publish(&[Purge::hard(PurgeTarget::Key("engagement:42".into()))]);
        assert!((&mut publisher).now_or_never().is_none(), "it publishes");
        pubsub.publish(&[Purge::hard(PurgeTarget::Tag("org:7".into()))]);
        assert!(!is_published());
        channel.release.notify_one();
        assert!((&mut publisher).now_or_never().is_none(), "it never ends");
        assert!(is_published());
    }
}
