//! Wakes workers by pub/sub.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use redis::Msg;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    error::Error,
    store::{
        contracts::queue::Wakes,
        redis::{client::RedisClient, server::CONNECT_TIMEOUT},
    },
};

/// A subscription to the channel on which scripts tell that a write became due.
pub(super) struct RedisWakes {
    client: RedisClient,
    channel: Arc<str>,
    subscription: Option<WakeSubscription>,
}

struct WakeSubscription {
    messages: BoxStream<'static, Msg>,
    /// When it last had a message, or was made.
    heard: Instant,
}

impl RedisWakes {
    pub(super) fn new(client: RedisClient, channel: Arc<str>) -> Self {
        Self {
            client,
            channel,
            subscription: None,
        }
    }

    async fn wait(&mut self) {
        // A connection may be broken without a sign of it.
        let is_silent = |made: &WakeSubscription| made.heard.elapsed() > LONGEST_SILENCE;
        if self.subscription.as_ref().is_some_and(is_silent) {
            self.subscription = None;
        }
        let Some(subscription) = &mut self.subscription else {
            let subscribing = subscribe(self.client.clone(), Arc::clone(&self.channel));
            match subscribing.await {
                // Something may have been missed before.
                Ok(subscription) => self.subscription = Some(subscription),
                Err(error) => {
                    tracing::debug!(%error, "the write-behind worker cannot subscribe: polling");
                    sleep(POLL_WITHOUT_SUBSCRIPTION).await;
                }
            }
            return;
        };
        match timeout(LONGEST_WAIT, subscription.messages.next()).await {
            Ok(Some(_)) => {
                subscription.heard = Instant::now();
                while let Some(Some(_)) = subscription.messages.next().now_or_never() {}
            }
            Ok(None) => self.subscription = None,
            Err(_) => {}
        }
    }
}

impl Wakes for RedisWakes {
    fn next(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait())
    }
}

impl fmt::Debug for RedisWakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWakes")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

async fn subscribe(client: RedisClient, channel: Arc<str>) -> Result<WakeSubscription, Error> {
    let mut pubsub = client.pubsub().await?;
    let subscribed = timeout(CONNECT_TIMEOUT, pubsub.subscribe(&*channel)).await;
    subscribed
        .map_err(|_| unanswered())?
        .map_err(|error| unanswered().with_hidden_cause(error))?;
    Ok(WakeSubscription {
        messages: pubsub.into_on_message().boxed(),
        heard: Instant::now(),
    })
}

fn unanswered() -> Error {
    Error::unavailable("redis did not answer subscribe")
}

/// How long to wait for a message.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

const POLL_WITHOUT_SUBSCRIPTION: Duration = Duration::from_millis(500);

/// After this time without a message, the subscription is made again.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);
