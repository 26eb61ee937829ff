//! Other programs: what they say, and what they are told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use metrics::{Counter, counter};
use tokio::sync::{Notify, watch};

use super::{
    check::Fence,
    pattern::{MAX_PATTERN, pattern_of, subject_of},
};
use crate::{
    key::purge::{Purge, PurgeTarget},
    store::contracts::channel::Channel,
};

impl Fence {
    /// Queues what other programs named. What cannot be read counts as more than was meant.
    pub(super) fn hear(&self, messages: &[Box<[u8]>]) {
        let purges: Vec<Purge> = messages
            .iter()
            .filter_map(|message| self.programs.read(message))
            .map(Purge::hard)
            .collect();
        if !purges.is_empty() {
            self.purge_foreign(&purges);
        }
    }
}

/// The channel to other programs.
pub(super) struct Programs {
    queue: Arc<Queue>,
    heard: Counter,
    odd: Counter,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            queue: Arc::default(),
            heard: counter!("tower_keep_foreign_messages_total"),
            odd: counter!("tower_keep_foreign_odd_total"),
        }
    }
}

impl Programs {
    /// Publishes later; nobody waits for it.
    pub(super) fn tell(&self, purges: &[Purge]) {
        self.queue
            .add(purges.iter().filter_map(|purge| pattern_of(&purge.subject)));
    }

    fn read(&self, message: &[u8]) -> Option<PurgeTarget> {
        self.heard.increment(1);
        let odd = message.is_empty()
            || message.len() > MAX_PATTERN
            || std::str::from_utf8(message).map_or(true, |text| text.contains(char::is_control));
        if odd {
            self.odd.increment(1);
            tracing::debug!(bytes = message.len(), "a message that is no pattern");
        }
        subject_of(message)
    }

    /// Publishes what is told, until the fence is dropped. What fails to be published is lost, as
    /// everything on a channel is for who does not listen: counted by the store.
    pub(super) fn publish_on(
        &self,
        channel: Arc<dyn Channel>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let queue = Arc::clone(&self.queue);
        queue.open();
        async move {
            loop {
                let patterns = queue.take().await;
                if let Err(error) = channel.publish(&patterns).await {
                    tracing::warn!(%error, patterns = patterns.len(), "not published");
                }
                queue.published();
            }
        }
    }

    /// Waits until nothing is left to be published.
    pub(super) async fn told(&self) {
        // The queue holds the sender.
        let mut publishing = self.queue.publishing.subscribe();
        let _ = publishing.wait_for(|busy| !busy).await;
    }
}

/// What is to be published: at most [`QUEUE`] patterns, beyond that everything.
#[derive(Debug, Default)]
struct Queue {
    /// `None` while nobody publishes.
    patterns: Mutex<Option<VecDeque<String>>>,
    filled: Notify,
    /// Whether some are left, or on their way; written under the lock on `patterns`.
    publishing: watch::Sender<bool>,
}

impl Queue {
    fn open(&self) {
        self.locked().get_or_insert_default();
    }

    fn add(&self, new: impl Iterator<Item = String>) {
        if let Some(patterns) = self.locked().as_mut() {
            patterns.extend(new);
            if patterns.len() > QUEUE {
                *patterns = VecDeque::from(["*".to_owned()]);
            }
            self.publishing.send_replace(!patterns.is_empty());
            self.filled.notify_one();
        }
    }

    /// What was taken has been published.
    fn published(&self) {
        let patterns = self.locked();
        let left = patterns.as_ref().is_some_and(|left| !left.is_empty());
        self.publishing.send_replace(left);
    }

    async fn take(&self) -> Vec<String> {
        loop {
            let waiting = self.filled.notified();
            let taken = self.some();
            if !taken.is_empty() {
                return taken;
            }
            waiting.await;
        }
    }

    fn some(&self) -> Vec<String> {
        let mut patterns = self.locked();
        let patterns = patterns.get_or_insert_default();
        patterns.drain(..patterns.len().min(BATCH)).collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Option<VecDeque<String>>> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const QUEUE: usize = 8192;

/// Patterns published by one script.
const BATCH: usize = 256;
