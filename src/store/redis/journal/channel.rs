//! Pub/sub on `cache:invalidate`, without echo.
//!
//! One script announces each of our patterns on a channel of our own, then publishes it on
//! `cache:invalidate`. Every process of ours listens to both on one connection, where the two arrive
//! in this order, and passes over a pattern that was announced just before. Whatever does not
//! follow its own announcement at once is another program's.

use std::{fmt, sync::Arc, sync::LazyLock};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};
use redis::Msg;

use crate::{
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            channel::{CUT, Channel, Listener},
        },
        redis::{
            connection::Connections,
            script::{Arg, Script},
            verb::Verb,
        },
    },
};

static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../lua/publish.lua")));

/// The channel of every keep with this namespace on this Redis.
#[derive(Debug)]
pub(crate) struct RedisChannel {
    connections: Connections,
    names: Arc<Names>,
}

#[derive(Debug)]
struct Names {
    everybody: Box<str>,
    own: Box<str>,
}

impl RedisChannel {
    pub(crate) fn new(connections: Connections, namespace: &str) -> Self {
        let names = Names {
            everybody: format!("{namespace}cache:invalidate").into(),
            own: format!("{namespace}cache:keep:published").into(),
        };
        Self {
            connections,
            names: Arc::new(names),
        }
    }
}

impl Channel for RedisChannel {
    fn publish<'a>(&'a self, patterns: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let channels = [
                Arg::from(&*self.names.everybody),
                Arg::from(&*self.names.own),
            ];
            let patterns = patterns.iter().map(|pattern| Arg::from(pattern.as_str()));
            let arguments: Vec<_> = channels.into_iter().chain(patterns).collect();
            self.connections
                .script(Verb::Publish, &PUBLISH, &[], &arguments)
                .await
        })
    }

    fn listen(&self) -> Box<dyn Listener> {
        Box::new(RedisListener {
            connections: self.connections.clone(),
            names: Arc::clone(&self.names),
            messages: None,
            announced: Announced::default(),
        })
    }
}

struct RedisListener {
    connections: Connections,
    names: Arc<Names>,
    messages: Option<BoxStream<'static, Msg>>,
    announced: Announced,
}

/// What one of our processes said it would publish next.
#[derive(Debug, Default)]
struct Announced(Option<Box<[u8]>>);

impl RedisListener {
    async fn listen(&mut self) -> Result<Vec<Box<[u8]>>, Error> {
        if self.messages.is_none() {
            self.messages = Some(subscribe(&self.connections, &self.names).await?);
            // What was announced before may have been published while nobody listened.
            self.announced = Announced::default();
        }
        let messages = self.messages.as_mut().ok_or_else(closed)?;
        let Some(message) = messages.next().await else {
            self.messages = None;
            return Err(closed());
        };
        let mut foreign = Vec::from_iter(self.announced.foreign(&self.names, &message));
        while let Some(Some(message)) = messages.next().now_or_never() {
            if let Some(pattern) = self.announced.foreign(&self.names, &message) {
                match foreign.len() {
                    ..BATCH => foreign.push(pattern),
                    // Too many to keep: they name everything.
                    _ => foreign = vec![Box::from(*b"*")],
                }
            }
        }
        Ok(foreign)
    }
}

impl Announced {
    /// The message, cut to the length of a pattern, if it is another program's.
    fn foreign(&mut self, names: &Names, message: &Msg) -> Option<Box<[u8]>> {
        let payload = message.get_payload_bytes();
        let payload = &payload[..payload.len().min(CUT)];
        let announced = self.0.take();
        if message.get_channel_name() == &*names.own {
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
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

async fn subscribe(
    connections: &Connections,
    names: &Names,
) -> Result<BoxStream<'static, Msg>, Error> {
    let mut pubsub = connections.pubsub().await?;
    let channels = [&*names.everybody, &*names.own];
    pubsub
        .subscribe(&channels[..])
        .await
        .map_err(|error| Error::unavailable("redis did not answer subscribe").with_source(error))?;
    Ok(pubsub.into_on_message().boxed())
}

fn closed() -> Error {
    Error::unavailable("redis closed the connection of pub/sub")
}

/// Messages at a time.
const BATCH: usize = 4096;
