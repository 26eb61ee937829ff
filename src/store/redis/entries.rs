//! Entries and application values on Redis.

use std::{borrow::Cow, fmt, sync::Arc, sync::LazyLock, time::Duration};

use bytes::Bytes;
use futures_util::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, join_all},
    stream::{self, StreamExt},
};
use redis::Cmd;

use super::{
    client::RedisClient, command::Command, key_batches::batches_of, script::Script,
    topology::Primary,
};
use crate::{
    clock::Clock,
    error::{Error, Kind},
    store::{
        contracts::{
            StoreFuture,
            entries::Entries,
            plain::{Plain, TimeLeft},
        },
        entry::Entry,
        read_bounds::ReadBounds,
        wire::{self, KeyHash, ReadContext},
    },
};

/// Entries and application values under one namespace of a Redis.
#[derive(Clone)]
pub(crate) struct RedisEntries {
    client: RedisClient,
    namespace: Arc<str>,
    clock: Arc<Clock>,
    bounds: Arc<ReadBounds>,
}

impl RedisEntries {
    pub(crate) fn new(
        client: RedisClient,
        namespace: &str,
        clock: Arc<Clock>,
        bounds: Arc<ReadBounds>,
    ) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            clock,
            bounds,
        }
    }

    fn full_key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.namespace.is_empty() {
            return Cow::Borrowed(key);
        }
        Cow::Owned([&self.namespace, key].concat())
    }

    /// The key of a lock. No other key begins with `~`.
    fn lock_key(&self, key: &str) -> String {
        [&self.namespace, "~lock:", key].concat()
    }

    fn fetch(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send {
        let mut cmd = Cmd::with_capacity(2, 3 + self.namespace.len() + key.len());
        cmd.arg("GET").arg(&*self.full_key(key));
        let reply = self.client.query_batched(Command::Get, cmd);
        async move {
            match reply.await {
                // The key does not hold a string, but for instance a list of another program.
                Err(error) if error.kind() == Kind::Corrupt => {
                    self.client.count_unreadable(wire::Unreadable::Foreign);
                    Ok(None)
                }
                reply => reply,
            }
        }
    }

    /// The string under each key. All commands are sent at once. Those that fail, and keys that do not
    /// hold a string, leave `None`.
    async fn fetch_many(&self, keys: &[Box<str>]) -> Vec<Option<Bytes>> {
        let full_keys: Vec<_> = keys.iter().map(|key| self.full_key(key)).collect();
        let batches = batches_of(&full_keys, self.client.is_cluster());
        let replies = batches.iter().map(|batch| {
            let mut cmd = redis::cmd("MGET");
            for &index in batch {
                cmd.arg(&*full_keys[index]);
            }
            async move {
                self.client
                    .query::<Vec<Option<Bytes>>>(Command::Get, &cmd)
                    .await
            }
        });
        let replies = join_all(replies).await;
        let mut texts = vec![None; keys.len()];
        for (batch, reply) in batches.iter().zip(replies) {
            // The client has logged and counted a failure.
            for (&index, text) in batch.iter().zip(reply.unwrap_or_default()) {
                texts[index] = text;
            }
        }
        texts
    }

    fn decode(&self, key: &str, stored: &Bytes) -> Option<Arc<Entry>> {
        let context = ReadContext {
            key: KeyHash::of(&self.namespace, key),
            now: self.clock.now().wall,
            max_ttl: self.bounds.max_ttl(),
            max_body: self.bounds.max_body(),
        };
        wire::decode(stored, &context)
            .inspect_err(|reason| self.client.count_unreadable(*reason))
            .ok()
    }

    async fn store(&self, key: &str, entry: &Entry) -> Result<bool, Error> {
        let ttl = entry.expires.since(self.clock.now().wall);
        let hash = KeyHash::of(&self.namespace, key);
        let Some(value) = wire::encode(entry, hash).filter(|_| !ttl.is_zero()) else {
            return Ok(false);
        };
        let key = self.full_key(key);
        self.client.skip_if_in_doubt(key.as_bytes())?;
        let call = PUT.call([key.as_bytes()]).arg(value).arg(millis(ttl));
        self.client.script(Command::Put, &call).await
    }

    async fn unlink(&self, key: &str) -> Result<u64, Error> {
        let mut cmd = Cmd::new();
        cmd.arg("UNLINK").arg(&*self.full_key(key));
        self.client.query(Command::Remove, &cmd).await
    }

    async fn sweep(&self, glob: &str, kind: &str) -> Result<u64, Error> {
        let glob = [&escape_glob(&self.namespace), glob].concat();
        let mut removed = 0;
        for primary in self.client.primaries().await? {
            removed += self.sweep_primary(&primary, &glob, kind).await?;
        }
        Ok(removed)
    }

    async fn sweep_primary(&self, at: &Primary, glob: &str, kind: &str) -> Result<u64, Error> {
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let mut cmd = Cmd::new();
            cmd.arg("SCAN").arg(cursor).arg("MATCH").arg(glob);
            cmd.arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg("string");
            let keys: Vec<Bytes>;
            (cursor, keys) = self.client.query_at(at, Command::Scan, &cmd).await?;
            removed += self.remove_kind(keys, kind).await?;
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }

    async fn remove_kind(&self, keys: Vec<Bytes>, kind: &str) -> Result<u64, Error> {
        run_all(keys.into_iter().map(|key| async move {
            let call = REMOVE.call([key]).arg(&wire::MAGIC[..]).arg(kind);
            self.client.script(Command::Remove, &call).await
        }))
        .await
    }
}

impl Entries for RedisEntries {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Arc<Entry>>> {
        let stored = self.fetch(key);
        Box::pin(stored.map_ok(|stored| self.decode(key, &stored?)))
    }

    fn get_many<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Option<Arc<Entry>>>> {
        let texts = self.fetch_many(keys);
        Box::pin(texts.map(|texts| {
            let stored = keys.iter().zip(texts);
            let entries = stored.map(|(key, stored)| self.decode(key, &stored?));
            entries.collect()
        }))
    }

    fn put<'a>(&'a self, key: &'a str, entry: &'a Arc<Entry>) -> StoreFuture<'a, bool> {
        Box::pin(self.store(key, entry))
    }

    fn remove<'a>(&'a self, keys: &'a [Box<str>]) -> StoreFuture<'a, u64> {
        Box::pin(run_all(keys.iter().map(|key| self.unlink(key))))
    }

    fn remove_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.sweep(glob, "entry"))
    }

    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool> {
        let lock = self.lock_key(key);
        let call = LOCK.call([&lock]).arg(token).arg(millis(lease));
        Box::pin(async move {
            self.client
                .skip_if_in_doubt(self.full_key(key).as_bytes())?;
            self.client.skip_if_in_doubt(lock.as_bytes())?;
            let taken: u8 = self.client.script(Command::Lock, &call).await?;
            if taken == TAKEN_OVER {
                self.client.count_foreign_lock();
            }
            Ok(taken > 0)
        })
    }

    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool> {
        let call = UNLOCK.call([self.lock_key(key)]).arg(token);
        Box::pin(async move { self.client.script(Command::Unlock, &call).await })
    }
}

impl Plain for RedisEntries {
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        let stored = self.fetch(key);
        Box::pin(stored.map_ok(|stored| stored.filter(is_plain)))
    }

    fn get_plain_many<'a>(&'a self, keys: &'a [Box<str>]) -> BoxFuture<'a, Vec<Option<Bytes>>> {
        let plain = |stored: Option<Bytes>| stored.filter(is_plain);
        let texts = self.fetch_many(keys);
        Box::pin(texts.map(move |texts| texts.into_iter().map(plain).collect()))
    }

    fn plain_time_left<'a>(&'a self, key: &'a str) -> StoreFuture<'a, TimeLeft> {
        let call = TIME_LEFT
            .call([self.full_key(key).as_bytes()])
            .arg(&wire::MAGIC[..]);
        Box::pin(async move {
            let millis: i64 = self.client.script(Command::Get, &call).await?;
            Ok(match u64::try_from(millis) {
                Ok(millis) => TimeLeft::Left(Duration::from_millis(millis)),
                Err(_) if millis == WITHOUT_TTL => TimeLeft::Never,
                Err(_) => TimeLeft::Missing,
            })
        })
    }

    fn put_plain<'a>(
        &'a self,
        key: &'a str,
        json: &'a Bytes,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        let mut cmd = Cmd::new();
        cmd.arg("SET").arg(&*self.full_key(key)).arg(&json[..]);
        cmd.arg("PX").arg(millis(ttl));
        Box::pin(async move { self.client.query(Command::Put, &cmd).await })
    }

    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.sweep(glob, "plain"))
    }
}

impl fmt::Debug for RedisEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEntries")
            .field("client", &self.client)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

fn is_plain(text: &Bytes) -> bool {
    !text.starts_with(&wire::MAGIC)
}

/// Runs all removals, a few at a time, even if one fails; returns how many keys were removed.
async fn run_all(
    removals: impl Iterator<Item = impl Future<Output = Result<u64, Error>>>,
) -> Result<u64, Error> {
    let mut removals = stream::iter(removals).buffer_unordered(CONCURRENT_REMOVALS);
    let (mut removed, mut failed) = (0, None);
    while let Some(removal) = removals.next().await {
        match removal {
            Ok(keys) => removed += keys,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// A time to live in milliseconds; Redis refuses zero.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, MAX_TTL_MILLIS)
}

/// A glob that matches `text` and nothing else.
fn escape_glob(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/put.lua")));
static LOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/lock.lua")));
static UNLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/unlock.lua")));
static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/remove.lua")));
static TIME_LEFT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../lua/time_left.lua")));

/// What `PTTL` replies for a key without a TTL.
const WITHOUT_TTL: i64 = -1;

/// What the script replies if another program had made the lock.
const TAKEN_OVER: u8 = 2;

/// Keys that one `SCAN` visits.
const SCAN_COUNT: usize = 500;

const CONCURRENT_REMOVALS: usize = 64;

/// A hundred years: the sum of the server's clock and a time to live must not overflow.
const MAX_TTL_MILLIS: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests;
