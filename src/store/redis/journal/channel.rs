//! Pub/sub on `cache:invalidate`, without echo.
//!
//! One script announces each pattern of this keep on a private channel, then publishes it on the
//! public channel `cache:invalidate`. Every process subscribes to both over one connection, where the
//! two messages arrive in this order, and ignores a pattern that was announced immediately before. A
//! pattern without an announcement was published by another program.

use std::{fmt, sync::Arc, sync::LazyLock};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use redis::Msg;

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
}

impl RedisChannel {
    pub(crate) fn new(client: RedisClient, namespace: &str) -> Self {
        let channels = ChannelNames {
            public: format!("{namespace}cache:invalidate").into(),
            private: format!("{namespace}cache:keep:published").into(),
        };
        Self {
            client,
            channels: Arc::new(channels),
        }
    }
}

impl Channel for RedisChannel {
    fn publish<'a>(&'a self, patterns: &'a [String]) -> StoreFuture<'a, ()> {
        let call = PUBLISH
            .call([""; 0])
            .arg(&[&*self.channels.public, &*self.channels.private])
            .arg(patterns);
        Box::pin(async move { self.client.script(Command::Publish, &call).await })
    }

    fn listen(&self) -> Box<dyn Listener> {
        Box::new(RedisListener {
            client: self.client.clone(),
            channels: Arc::clone(&self.channels),
            messages: None,
            announced: Announcement::default(),
        })
    }
}

struct RedisListener {
    client: RedisClient,
    channels: Arc<ChannelNames>,
    messages: Option<BoxStream<'static, Msg>>,
    announced: Announcement,
}

/// The pattern that was announced last: a process of this keep publishes it next.
#[derive(Debug, Default)]
struct Announcement(Option<Box<[u8]>>);

impl RedisListener {
    async fn listen(&mut self) -> Result<Vec<Box<[u8]>>, Error> {
        if self.messages.is_none() {
            self.messages = Some(subscribe(&self.client, &self.channels).await?);
            // The announced pattern may have been published while there was no subscription.
            self.announced = Announcement::default();
        }
        let messages = self.messages.as_mut().ok_or_else(closed)?;
        let Some(message) = messages.next().await else {
            self.messages = None;
            return Err(closed());
        };
        let mut foreign = Vec::from_iter(self.announced.foreign(&self.channels, &message));
        while let Some(Some(message)) = messages.next().now_or_never() {
            if let Some(pattern) = self.announced.foreign(&self.channels, &message) {
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

impl Announcement {
    /// Returns the message, cut to [`MAX_MESSAGE`] bytes, if another program published it.
    fn foreign(&mut self, channels: &ChannelNames, message: &Msg) -> Option<Box<[u8]>> {
        let payload = message.get_payload_bytes();
        let payload = &payload[..payload.len().min(MAX_MESSAGE)];
        let announced = self.0.take();
        if message.get_channel_name() == &*channels.private {
            self.0 = Some(payload.into());
            return None;
        }
        (announced.as_deref() != Some(payload)).then(|| payload.into())
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

/// How many patterns are returned at once.
const MAX_PATTERNS: usize = 4096;

static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../lua/publish.lua")));
