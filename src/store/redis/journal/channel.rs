//! Pub/sub on `cache:invalidate`, without echo.
//!
//! One script announces each pattern of this keep on a private channel, then publishes it on the
//! public channel `cache:invalidate`. Every process subscribes to both over one connection, where the
//! two messages arrive in this order, and ignores a pattern that was announced immediately before. A
//! pattern without a valid announcement was published by another program.

use std::{
    fmt,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use metrics::{Counter, counter};
use redis::Msg;
use tokio::time::Instant;

use super::{
    announcement::{Announcements, random_secret},
    key,
};
use crate::{
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            channel::{Channel, Listener, MAX_MESSAGE},
        },
        redis::{client::RedisClient, command::Command, script::Script},
    },
};

/// The channel of every keep with this namespace on this Redis.
#[derive(Debug)]
pub(crate) struct RedisChannel {
    client: RedisClient,
    channels: Arc<ChannelNames>,
}

#[derive(Debug)]
struct ChannelNames {
    public: Box<str>,
    private: Box<str>,
    /// The journal's hash, which contains the secret of announcements.
    journal: Arc<[u8]>,
}

impl RedisChannel {
    pub(crate) fn new(client: RedisClient, namespace: &str) -> Self {
        let channels = ChannelNames {
            public: format!("{namespace}cache:invalidate").into(),
            private: format!("{namespace}cache:keep:published").into(),
            journal: key(namespace, "m"),
        };
        Self {
            client,
            channels: Arc::new(channels),
        }
    }
}

impl Channel for RedisChannel {
    fn publish<'a>(&'a self, patterns: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            publish(&self.client, &self.channels, patterns).await?;
            Ok(())
        })
    }

    fn listen(&self) -> Box<dyn Listener> {
        Box::new(RedisListener {
            client: self.client.clone(),
            channels: Arc::clone(&self.channels),
            messages: None,
            announced: Announcements::new(String::new()),
            secret_read: Instant::now(),
            forged: counter!("tower_keep_foreign_forged_total"),
        })
    }
}

struct RedisListener {
    client: RedisClient,
    channels: Arc<ChannelNames>,
    messages: Option<BoxStream<'static, Msg>>,
    announced: Announcements,
    /// When the secret was last read.
    secret_read: Instant,
    /// Counts messages whose announcement was not made by a process of this keep.
    forged: Counter,
}

impl RedisListener {
    async fn listen(&mut self) -> Result<Vec<Box<[u8]>>, Error> {
        if self.messages.is_none() {
            let secret = publish(&self.client, &self.channels, &[]).await?;
            self.messages = Some(subscribe(&self.client, &self.channels).await?);
            // The announced pattern may have been published while there was no subscription.
            self.announced = Announcements::new(secret);
            self.secret_read = Instant::now();
        }
        if self.secret_read.elapsed() > SECRET_INTERVAL && self.announced.take_doubt() {
            self.secret_read = Instant::now();
            // If it fails, the patterns of this keep count as those of other programs.
            if let Ok(secret) = publish(&self.client, &self.channels, &[]).await {
                self.announced.set_secret(secret);
            }
        }
        let messages = self.messages.as_mut().ok_or_else(closed)?;
        let Some(message) = messages.next().await else {
            self.messages = None;
            return Err(closed());
        };
        let mut foreign_pattern = |message: &Msg| {
            let payload = message.get_payload_bytes();
            if message.get_channel_name() == &*self.channels.private {
                self.announced.announce(payload);
                return None;
            }
            let is_ours = self.announced.is_ours(payload);
            self.forged.increment(u64::from(is_ours.is_none()));
            let pattern = &payload[..payload.len().min(MAX_MESSAGE)];
            (is_ours != Some(true)).then(|| Box::from(pattern))
        };
        let mut foreign = Vec::from_iter(foreign_pattern(&message));
        while let Some(Some(message)) = messages.next().now_or_never() {
            if let Some(pattern) = foreign_pattern(&message) {
                match foreign.len() {
                    ..MAX_PATTERNS => foreign.push(pattern),
                    // Too many to keep: one pattern that matches everything replaces them.
                    _ => foreign = vec![Box::from(*b"*")],
                }
            }
        }
        Ok(foreign)
    }
}

impl Listener for RedisListener {
    fn next(&mut self) -> StoreFuture<'_, Vec<Box<[u8]>>> {
        Box::pin(self.listen())
    }
}

impl fmt::Debug for RedisListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisListener")
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// Publishes patterns, perhaps none. Returns the secret of announcements.
async fn publish(
    client: &RedisClient,
    channels: &ChannelNames,
    patterns: &[String],
) -> Result<String, Error> {
    let call = PUBLISH
        .call([&channels.journal])
        .arg(random_secret())
        .arg(&[&*channels.public, &*channels.private])
        .arg(patterns);
    client.script(Command::Publish, &call).await
}

async fn subscribe(
    client: &RedisClient,
    channels: &ChannelNames,
) -> Result<BoxStream<'static, Msg>, Error> {
    let mut pubsub = client.pubsub().await?;
    let names = [&*channels.public, &*channels.private];
    pubsub.subscribe(&names[..]).await.map_err(|error| {
        Error::unavailable("redis did not answer subscribe").with_hidden_cause(error)
    })?;
    Ok(pubsub.into_on_message().boxed())
}

fn closed() -> Error {
    Error::unavailable("redis closed the pub/sub connection")
}

/// How long a secret is used at least: forged announcements must not cause many reads.
const SECRET_INTERVAL: Duration = Duration::from_secs(1);

/// How many patterns are returned at once.
const MAX_PATTERNS: usize = 4096;

static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../lua/publish.lua")));
