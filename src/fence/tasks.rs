//! What goes on beside the requests: following the feed, proving freshness, appending again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    select,
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{check::Fence, mirror::Step};
use crate::store::contracts::{
    channel::{Channel, Listener},
    journal::{Feed, Record},
};

impl Fence {
    /// Follows the journal until the fence is dropped, and takes part in the channel of other
    /// programs. Answers when the first attempt to reach the journal is over, however it ended:
    /// without it, nothing stored is used until it can be reached.
    pub(crate) async fn start(self: &Arc<Self>, channel: Option<Arc<dyn Channel>>) {
        if let Err(error) = self.sync().await {
            tracing::warn!(%error, "the journal cannot be reached yet");
        }
        let weak = || Arc::downgrade(self);
        let mut tasks = vec![
            tokio::spawn(follow(weak(), self.journal.feed())).abort_handle(),
            tokio::spawn(prove(weak(), Arc::clone(&self.hurry))).abort_handle(),
            tokio::spawn(redeliver(weak())).abort_handle(),
        ];
        if let Some(channel) = channel {
            tasks.push(tokio::spawn(listen(weak(), channel.listen())).abort_handle());
            tasks.push(tokio::spawn(self.programs.publish_on(channel)).abort_handle());
        }
        self.own_tasks(tasks.into());
        self.kick();
    }

    /// Applies records of the feed in order.
    pub(super) fn feed(&self, records: &[Record]) -> Step {
        let now = self.clock.mono();
        if records.is_empty() {
            return Step::Followed;
        }
        self.change(|mirror| {
            let steps = records.iter().map(|record| mirror.record(record, now));
            let lost = steps.filter(|step| *step == Step::Lost).count();
            if lost > 0 { Step::Lost } else { Step::Followed }
        })
    }
}

async fn follow(fence: Weak<Fence>, mut feed: Box<dyn Feed>) {
    let mut backoff = Backoff::default();
    loop {
        let Some(position) = fence.upgrade().map(|fence| fence.position()) else {
            return;
        };
        let records = feed.next(position).await;
        let Some(fence) = fence.upgrade() else { return };
        let followed = match records {
            Ok(records) => fence.feed(&records),
            Err(error) => {
                tracing::debug!(%error, "the journal's feed");
                Step::Lost
            }
        };
        if followed == Step::Followed {
            backoff = Backoff::default();
            continue;
        }
        // The proof goes on by itself if this fails.
        let _ = fence.sync().await;
        drop(fence);
        backoff.wait().await;
    }
}

async fn listen(fence: Weak<Fence>, mut listener: Box<dyn Listener>) {
    let mut backoff = Backoff::default();
    loop {
        let heard = listener.next().await;
        let Some(fence) = fence.upgrade() else { return };
        match heard {
            Ok(messages) => {
                backoff = Backoff::default();
                fence.hear(&messages);
            }
            Err(error) => {
                drop(fence);
                tracing::debug!(%error, "what other programs say is not heard");
                backoff.wait().await;
            }
        }
    }
}

async fn prove(fence: Weak<Fence>, hurry: Arc<Notify>) {
    loop {
        let Some(strong) = fence.upgrade() else {
            return;
        };
        let next = Instant::now() + strong.pace();
        if let Err(error) = strong.sync().await {
            tracing::debug!(%error, "no proof of freshness");
        }
        drop(strong);
        select! {
            () = sleep_until(next) => {}
            () = hurry.notified() => {}
        }
    }
}

async fn redeliver(fence: Weak<Fence>) {
    let mut backoff = Backoff::default();
    let mut told = false;
    loop {
        let Some(strong) = fence.upgrade() else {
            return;
        };
        match strong.drain().await {
            Ok(()) => {
                if std::mem::take(&mut told) {
                    tracing::info!("everything is appended");
                }
                backoff = Backoff::default();
                let queued = Arc::clone(&strong.undelivered);
                drop(strong);
                queued.notified().await;
            }
            Err(error) => {
                let pending = strong.read(|mirror| mirror.pending());
                // Once in an outage: it is tried again every second.
                if std::mem::replace(&mut told, true) {
                    tracing::debug!(%error, pending, "not appended yet");
                } else {
                    tracing::warn!(%error, pending, "not appended yet, and tried again until it is");
                }
                drop(strong);
                backoff.wait().await;
            }
        }
    }
}

/// Doubles from 1 ms to 1 s.
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(1))
    }
}

impl Backoff {
    async fn wait(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(1));
    }
}
