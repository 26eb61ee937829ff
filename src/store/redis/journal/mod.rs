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
//! Their size is bounded (`[store] journal_size`): three quarters for the sorted set, a quarter for the
//! stream. Names of targets are bounded, and the keys of URLs, which any client can make up, share a
//! fixed number of names.
//!
//! The keys have no time to live, so a `volatile-*` policy never evicts them. An `allkeys-*` policy
//! evicts them last, as every process uses them several times a second. If one is evicted or damaged,
//! a new epoch begins, and nothing stored before is used again. A Redis that refuses writes (out of
//! memory without eviction, cut off from its required replicas) cannot confirm that there are no newer
//! invalidations: stored responses are then used for at most `max_lag`.
//!
//! A new epoch also begins whenever the server takes a new replication id: on a restart, a promotion,
//! and when a primary without replicas is given its first.

mod announcement;
mod channel;
mod feed;
mod reply;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) use self::channel::RedisChannel;
use self::feed::RedisFeed;
use super::{
    client::RedisClient,
    command::Command,
    script::{Script, ScriptCall},
};
use crate::{
    key::purge::Purge,
    store::{
        contracts::{
            StoreFuture,
            journal::{
                AppendReply, AppendRequest, Feed, Journal, JournalLimits, MAX_BETWEEN, RecordKind,
                StatePage,
            },
        },
        position::Position,
    },
};

/// The journal of every keep with this namespace on this Redis.
#[derive(Debug)]
pub(crate) struct RedisJournal {
    client: RedisClient,
    /// The keys of the hash, the sorted set and the stream, which share one slot.
    keys: [Arc<[u8]>; 3],
    /// How many bytes the sorted set and the stream may take.
    bytes: AtomicU64,
    retention_millis: AtomicU64,
}

impl RedisJournal {
    pub(crate) fn new(client: RedisClient, namespace: &str, limits: JournalLimits) -> Self {
        let journal = Self {
            client,
            keys: ["m", "z", "s"].map(|end| key(namespace, end)),
            bytes: AtomicU64::default(),
            retention_millis: AtomicU64::default(),
        };
        journal.set_limits(limits);
        journal
    }

    /// A call with the arguments that both scripts have in common.
    fn call(&self, script: &'static Script, known: Position) -> ScriptCall {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let for_records = bytes / 4;
        script
            .call(&self.keys)
            .arg(Position::begin_epoch().epoch)
            .arg(&[known.epoch, known.n])
            .arg(&[bytes - for_records, for_records])
            .arg(self.retention_millis.load(Ordering::Relaxed))
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
            let purges: Vec<_> = request.purges.iter().map(Purge::journal_text).collect();
            let call = self
                .call(&APPEND, request.known)
                .arg(action)
                .arg(token)
                .arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX))
                .arg(MAX_BETWEEN)
                .arg(request.with_open)
                .arg(&purges);
            let command = if request.queued {
                Command::AppendAgain
            } else {
                Command::Append
            };
            reply::append_reply(self.client.script(command, &call).await?)
        })
    }

    fn sync(&self, from: Position, page: usize) -> StoreFuture<'_, StatePage> {
        Box::pin(async move {
            let call = self.call(&SYNC, from).arg(page.max(1));
            reply::page(self.client.script(Command::Sync, &call).await?)
        })
    }

    fn feed(&self) -> Box<dyn Feed> {
        let [.., stream] = &self.keys;
        Box::new(RedisFeed::new(self.client.clone(), Arc::clone(stream)))
    }

    fn set_limits(&self, limits: JournalLimits) {
        let millis = u64::try_from(limits.retention.as_millis()).unwrap_or(u64::MAX);
        self.retention_millis
            .store(millis.min(MAX_NUMBER), Ordering::Relaxed);
        self.bytes
            .store(limits.bytes.min(MAX_NUMBER), Ordering::Relaxed);
    }
}

/// The journal's key that ends with `end`.
fn key(namespace: &str, end: &str) -> Arc<[u8]> {
    let key = format!("{namespace}cache:keep:{{journal}}:{end}");
    key.into_bytes().into()
}

/// Lua's numbers are exact up to 2^53.
const MAX_NUMBER: u64 = 1 << 48;

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
