//! The journal on Redis.
//!
//! Three keys under one hash tag, with the keep's namespace before them:
//!
//! | key | holds |
//! |---|---|
//! | `cache:keep:{journal}:m` | a hash: epoch, replication id, head, floor, open declarations |
//! | `cache:keep:{journal}:z` | a sorted set: what was named, with the position of its latest record |
//! | `cache:keep:{journal}:s` | a stream: the latest records |
//!
//! They have no time to live, so a `volatile-*` policy never evicts them. Under an `allkeys-*` policy
//! they are the last to go, as every process touches them several times a second; if one goes, or is
//! damaged, a new epoch begins and nothing stored before is used again. A Redis that may not write
//! (out of memory without eviction, cut off from the replicas it must have) proves nothing: stored
//! responses are used for `max_lag` and no longer.
//!
//! A new epoch also begins whenever the server takes a new replication id: on a restart, a promotion,
//! and when a primary without replicas is given its first.

mod channel;
mod feed;
mod reply;
#[cfg(test)]
mod tests;

use std::{sync::Arc, sync::LazyLock, time::Duration};

use redis::Value;

#[allow(unused_imports)] // until the keep is made of it
pub(crate) use self::channel::RedisChannel;
use self::feed::RedisFeed;
use super::{
    connection::Connections,
    script::{Arg, Script},
    verb::Verb,
};
use crate::store::{
    contracts::{
        StoreFuture,
        journal::{AppendReply, AppendRequest, Feed, Journal, MAX_BETWEEN, RecordKind, StatePage},
    },
    memory::journal::epoch,
    position::Position,
};

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

/// The journal of every keep with this namespace on this Redis.
#[derive(Debug)]
pub(crate) struct RedisJournal {
    connections: Connections,
    keys: Arc<Keys>,
    /// Subjects kept.
    subjects: u64,
    /// Records kept, about.
    records: u64,
}

#[derive(Debug)]
struct Keys {
    meta: Box<[u8]>,
    latest: Box<[u8]>,
    feed: Box<[u8]>,
}

impl RedisJournal {
    /// `subjects` as in [`FenceConfig::max_targets`](crate::fence::config::FenceConfig::max_targets).
    pub(crate) fn new(connections: Connections, namespace: &str, subjects: usize) -> Self {
        Self {
            connections,
            keys: Arc::new(Keys::new(namespace)),
            subjects: u64::try_from(subjects)
                .unwrap_or(u64::MAX)
                .clamp(1, MOST_SUBJECTS),
            records: RECORDS,
        }
    }

    async fn run(
        &self,
        verb: Verb,
        script: &Script,
        known: Position,
        arguments: &[Arg<'_>],
    ) -> Result<Value, crate::error::Error> {
        let head = [
            epoch().into(),
            known.epoch.into(),
            known.n.into(),
            self.subjects.into(),
            self.records.into(),
        ];
        let arguments: Vec<Arg<'_>> = head.into_iter().chain(arguments.iter().copied()).collect();
        let keys = [&*self.keys.meta, &*self.keys.latest, &*self.keys.feed];
        self.connections
            .script(verb, script, &keys, &arguments)
            .await
    }
}

impl Journal for RedisJournal {
    fn append<'a>(&'a self, draft: &'a AppendRequest) -> StoreFuture<'a, AppendReply> {
        Box::pin(async move {
            let (action, token, lease) = match draft.kind {
                RecordKind::Invalidate => ("i", 0, Duration::ZERO),
                RecordKind::Open { token, lease } => ("o", token, lease),
                RecordKind::Close { token } => ("c", token, Duration::ZERO),
            };
            let purges: Vec<String> = draft.purges.iter().map(ToString::to_string).collect();
            let mut arguments = vec![
                action.into(),
                token.into(),
                u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).into(),
                MAX_BETWEEN.into(),
                u64::from(draft.with_open).into(),
            ];
            arguments.extend(purges.iter().map(|purge| Arg::from(purge.as_str())));
            let verb = if draft.queued {
                Verb::AppendAgain
            } else {
                Verb::Append
            };
            let reply = self.run(verb, &APPEND, draft.known, &arguments).await?;
            reply::appended(reply)
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            let size = u64::try_from(page.max(1)).unwrap_or(u64::MAX);
            let reply = self.run(Verb::Sync, &SYNC, from, &[size.into()]).await?;
            reply::page(reply)
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        Box::new(RedisFeed::new(
            self.connections.clone(),
            Arc::clone(&self.keys),
        ))
    }
}

impl Keys {
    fn new(namespace: &str) -> Self {
        let key = |end: &str| {
            let key = format!("{namespace}cache:keep:{{journal}}:{end}");
            key.into_bytes().into_boxed_slice()
        };
        Self {
            meta: key("m"),
            latest: key("z"),
            feed: key("s"),
        }
    }
}

/// A process that was away for longer reads the state instead.
const RECORDS: u64 = 10_000;

/// Numbers of Lua are exact up to 2^53.
const MOST_SUBJECTS: u64 = 1 << 48;
