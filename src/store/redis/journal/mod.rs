//! The journal on Redis.
//!
//! Three keys with one hash tag, prefixed by the keep's namespace:
//!
//! | key | holds |
//! |---|---|
//! | `cache:keep:{journal}:m` | a hash: epoch, replication id, head, floor, open declarations |
//! | `cache:keep:{journal}:z` | a sorted set: purge targets, scored by the position of their latest record |
//! | `cache:keep:{journal}:s` | a stream: the latest records |
//!
//! The keys have no time to live, so a `volatile-*` policy never evicts them. An `allkeys-*` policy
//! evicts them last, as every process uses them several times a second. If one is evicted or damaged,
//! a new epoch begins, and nothing stored before is used again. A Redis that refuses writes (out of
//! memory without eviction, cut off from its required replicas) proves nothing: stored responses are
//! used for at most `max_lag`.
//!
//! A new epoch also begins whenever the server takes a new replication id: on a restart, a promotion,
//! and when a primary without replicas is given its first.

mod channel;
mod feed;
mod keys;
mod reply;
#[cfg(test)]
mod tests;

use std::{sync::Arc, sync::LazyLock, time::Duration};

use redis::Value;

pub(crate) use self::channel::RedisChannel;
use self::{feed::RedisFeed, keys::JournalKeys};
use super::{
    client::RedisClient,
    command::Command,
    script::{Script, ScriptArg},
};
use crate::{
    error::Error,
    store::{
        contracts::{
            StoreFuture,
            journal::{
                AppendReply, AppendRequest, Feed, Journal, MAX_BETWEEN, RecordKind, StatePage,
            },
        },
        position::Position,
    },
};

/// The journal of every keep with this namespace on this Redis.
#[derive(Debug)]
pub(crate) struct RedisJournal {
    client: RedisClient,
    keys: Arc<JournalKeys>,
    /// How many purge targets the journal keeps.
    targets: u64,
}

impl RedisJournal {
    /// A journal that keeps the latest `targets` purge targets.
    pub(crate) fn new(client: RedisClient, namespace: &str, targets: usize) -> Self {
        Self {
            client,
            keys: Arc::new(JournalKeys::new(namespace)),
            targets: u64::try_from(targets)
                .unwrap_or(u64::MAX)
                .clamp(1, MAX_TARGETS),
        }
    }

    async fn run(
        &self,
        command: Command,
        script: &Script,
        known: Position,
        arguments: &[ScriptArg<'_>],
    ) -> Result<Value, Error> {
        let common = [
            Position::begin_epoch().epoch.into(),
            known.epoch.into(),
            known.n.into(),
            self.targets.into(),
            RECORDS.into(),
        ];
        let arguments: Vec<ScriptArg<'_>> = common
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let keys = [&*self.keys.meta, &*self.keys.latest, &*self.keys.feed];
        self.client.script(command, script, &keys, &arguments).await
    }
}

impl Journal for RedisJournal {
    fn append<'a>(&'a self, request: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move {
            let (action, token, lease) = match request.kind {
                RecordKind::Invalidate => ("i", 0, Duration::ZERO),
                RecordKind::Open { token, lease } => ("o", token, lease),
                RecordKind::Close { token } => ("c", token, Duration::ZERO),
            };
            let purges: Vec<String> = request.purges.iter().map(ToString::to_string).collect();
            let mut arguments = vec![
                action.into(),
                token.into(),
                u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).into(),
                MAX_BETWEEN.into(),
                u64::from(request.with_open).into(),
            ];
            arguments.extend(purges.iter().map(|purge| ScriptArg::from(purge.as_str())));
            let command = if request.queued {
                Command::AppendAgain
            } else {
                Command::Append
            };
            let reply = self
                .run(command, &APPEND, request.known, &arguments)
                .await?;
            reply::appended(reply)
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            let size = u64::try_from(page.max(1)).unwrap_or(u64::MAX);
            let reply = self.run(Command::Sync, &SYNC, from, &[size.into()]).await?;
            reply::page(reply)
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(RedisFeed::new(self.client.clone(), Arc::clone(&self.keys)))
    }
}

/// About how many records the stream keeps; a process that missed more reads the state instead.
const RECORDS: u64 = 10_000;

/// Lua's numbers are exact up to 2^53.
const MAX_TARGETS: u64 = 1 << 48;

static APPEND: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../../lua/journal.lua"),
        include_str!("../../lua/append.lua")
    ))
});
static SYNC: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../../lua/journal.lua"),
        include_str!("../../lua/sync.lua")
    ))
});
