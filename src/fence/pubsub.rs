//! The channel `cache:invalidate`, on which other programs publish and receive patterns.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use metrics::{Counter, counter};
use tokio::sync::{Notify, watch};

use super::pattern::{MAX_PATTERN, pattern_of, target_of};
use crate::{error::ignore_poison, key::purge::Purge, store::contracts::channel::Channel};

pub(super) struct PubSub {
    queue: Arc<PatternQueue>,
    received: Counter,
    malformed: Counter,
}

impl PubSub {
    /// Queues the patterns of the purges; the future of [`publisher`](Self::publisher) sends them.
    pub(super) fn publish(&self, purges: &[Purge]) {
        self.queue
            .add(purges.iter().filter_map(|purge| pattern_of(&purge.target)));
    }

    /// Publishes what is queued until it is dropped. Patterns that fail to be published are lost.
    pub(super) fn publisher(
        &self,
        channel: Arc<dyn Channel>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let queue = Arc::clone(&self.queue);
        queue.open();
        async move {
            loop {
                let patterns = queue.take_batch().await;
                if let Err(error) = channel.publish(&patterns).await {
                    tracing::warn!(
                        %error,
                        patterns = patterns.len(),
                        "invalidations were not published to other programs and are lost to them"
                    );
                }
                queue.end_batch();
            }
        }
    }

    /// Waits until nothing is left to be published.
    pub(super) async fn flushed(&self) {
        // Cannot fail: the queue holds the sender.
        let mut busy = self.queue.busy.subscribe();
        let _ = busy.wait_for(|busy| !busy).await;
    }

    /// The purges that received messages name. A malformed pattern names more than it may have meant.
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
}

impl Default for PubSub {
    fn default() -> Self {
        Self {
            queue: Arc::default(),
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

/// The patterns to be published; more than [`MAX_QUEUED`] become `*`.
#[derive(Debug, Default)]
struct PatternQueue {
    /// `None` until there is a publisher.
    patterns: Mutex<Option<VecDeque<String>>>,
    added: Notify,
    /// Whether any pattern is queued or being published; written under the lock on `patterns`.
    busy: watch::Sender<bool>,
}

impl PatternQueue {
    fn open(&self) {
        self.lock().get_or_insert_default();
    }

    fn add(&self, new: impl Iterator<Item = String>) {
        if let Some(patterns) = self.lock().as_mut() {
            patterns.extend(new);
            if patterns.len() > MAX_QUEUED {
                *patterns = VecDeque::from(["*".to_owned()]);
            }
            self.busy.send_replace(!patterns.is_empty());
            self.added.notify_one();
        }
    }

    async fn take_batch(&self) -> Vec<String> {
        loop {
            let added = self.added.notified();
            let batch = self.try_take_batch();
            if !batch.is_empty() {
                return batch;
            }
            added.await;
        }
    }

    fn try_take_batch(&self) -> Vec<String> {
        let mut patterns = self.lock();
        let patterns = patterns.get_or_insert_default();
        patterns.drain(..patterns.len().min(MAX_BATCH)).collect()
    }

    fn end_batch(&self) {
        let patterns = self.lock();
        let left = patterns.as_ref().is_some_and(|left| !left.is_empty());
        self.busy.send_replace(left);
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<String>>> {
        ignore_poison(self.patterns.lock())
    }
}

const MAX_QUEUED: usize = 8192;

/// Patterns published by one script.
const MAX_BATCH: usize = 256;
