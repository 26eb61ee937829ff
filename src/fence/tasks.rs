//! The background tasks of a fence.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    select,
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::appender::Appender;
use crate::{
    clock::Backoff,
    store::contracts::{
        channel::{Channel, Listener},
        journal::Feed,
    },
};

/// Spawns the tasks that follow the feed, prove freshness, deliver queued appends and, if there is a
/// channel, listen to other programs and publish to them.
pub(super) fn spawn(
    appender: &Arc<Appender>,
    channel: Option<Arc<dyn Channel>>,
) -> Box<[AbortHandle]> {
    let weak = || Arc::downgrade(appender);
    let sync = &appender.sync;
    let [queued, max_lag_changed] = [&sync.wake_delivery, &sync.max_lag_changed].map(Arc::clone);
    let mut tasks = vec![
        tokio::spawn(follow_feed(weak(), sync.journal.feed())).abort_handle(),
        tokio::spawn(prove_freshness(weak(), max_lag_changed)).abort_handle(),
        tokio::spawn(deliver(weak(), queued)).abort_handle(),
    ];
    if let Some(channel) = channel {
        tasks.push(tokio::spawn(listen(weak(), channel.listen())).abort_handle());
        tasks.push(tokio::spawn(appender.pubsub.publisher(channel)).abort_handle());
    }
    tasks.into()
}

async fn follow_feed(appender: Weak<Appender>, mut feed: Box<dyn Feed>) {
    let mut backoff = self::backoff();
    loop {
        let position = appender.upgrade().map(|this| this.sync.mirror.position());
        let Some(position) = position else { return };
        let records = feed.next(position).await;
        let Some(appender) = appender.upgrade() else {
            return;
        };
        let applied = match records {
            Ok(records) => appender.sync.mirror.apply(&records),
            Err(error) => {
                tracing::debug!(%error, "the journal's feed failed: syncing");
                false
            }
        };
        if applied {
            backoff = self::backoff();
            continue;
        }
        // If it fails, the task that proves freshness syncs again.
        let _ = appender.sync.sync().await;
        drop(appender);
        backoff.wait().await;
    }
}

async fn listen(appender: Weak<Appender>, mut listener: Box<dyn Listener>) {
    let mut backoff = self::backoff();
    loop {
        let received = listener.next().await;
        let Some(appender) = appender.upgrade() else {
            return;
        };
        match received {
            Ok(messages) => {
                backoff = self::backoff();
                appender.receive(&messages);
            }
            Err(error) => {
                drop(appender);
                tracing::debug!(%error, "patterns that other programs publish are not received");
                backoff.wait().await;
            }
        }
    }
}

async fn prove_freshness(appender: Weak<Appender>, max_lag_changed: Arc<Notify>) {
    loop {
        let Some(strong) = appender.upgrade() else {
            return;
        };
        let next = Instant::now() + strong.sync.trust.proof_interval();
        if let Err(error) = strong.sync.sync().await {
            tracing::debug!(%error, "journal unavailable: freshness is not proved");
        }
        drop(strong);
        select! {
            () = sleep_until(next) => {}
            () = max_lag_changed.notified() => {}
        }
    }
}

async fn deliver(appender: Weak<Appender>, queued: Arc<Notify>) {
    let mut backoff = self::backoff();
    let mut warned = false;
    loop {
        let Some(strong) = appender.upgrade() else {
            return;
        };
        match strong.deliver_queued().await {
            Ok(()) => {
                if std::mem::take(&mut warned) {
                    tracing::info!("journal available again: all queued invalidations delivered");
                }
                backoff = self::backoff();
                drop(strong);
                queued.notified().await;
            }
            Err(error) => {
                let pending = strong.sync.mirror.read(|mirror| mirror.own.pending());
                drop(strong);
                // One warning for each outage: the delivery is retried every second.
                if std::mem::replace(&mut warned, true) {
                    tracing::debug!(%error, pending, "invalidations are still queued");
                } else {
                    tracing::warn!(
                        %error,
                        pending,
                        "invalidations are queued: journal unavailable, retrying"
                    );
                }
                backoff.wait().await;
            }
        }
    }
}

fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(1), Duration::from_secs(1))
}
