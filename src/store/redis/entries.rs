//! Entries on Redis.

use std::{borrow::Cow, fmt, sync::Arc, sync::LazyLock, time::Duration};

use bytes::Bytes;
use futures_util::{
    TryFutureExt,
    stream::{self, StreamExt},
};
use redis::Cmd;

use super::{
    connection::Connections,
    script::{Arg, Script},
    topology::Primary,
    verb::Verb,
};
use crate::{
    clock::Clock,
    error::{Error, Kind},
    store::{
        contracts::{StoreFuture, entries::Entries, plain::Plain},
        entry::Entry,
        wire,
    },
};

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/put.lua")));
static UNLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/unlock.lua")));
static REMOVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../lua/remove.lua")));

/// Keys that one `SCAN` looks at.
const BATCH: usize = 500;
/// Removals on their way at once.
const IN_FLIGHT: usize = 64;

/// Entries and plain values under a namespace of one Redis.
#[derive(Clone)]
pub(crate) struct RedisEntries {
    connections: Connections,
    namespace: Arc<str>,
    /// Says how long an entry is still of use.
    clock: Arc<Clock>,
}

impl RedisEntries {
    pub(crate) fn new(connections: Connections, namespace: &str, clock: Arc<Clock>) -> Self {
        Self {
            connections,
            namespace: namespace.into(),
            clock,
        }
    }

    fn full<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.namespace.is_empty() {
            return Cow::Borrowed(key);
        }
        Cow::Owned([&self.namespace, key].concat())
    }

    /// No key of a table begins with `~`.
    fn lock(&self, key: &str) -> String {
        [&self.namespace, "~lock:", key].concat()
    }

    fn stored(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send {
        let mut cmd = Cmd::with_capacity(2, 3 + self.namespace.len() + key.len());
        cmd.arg("GET").arg(&*self.full(key));
        let reply = self.connections.look_up(Verb::Get, cmd);
        async move {
            match reply.await {
                // Something that is no string, such as another program's list.
                Err(error) if error.kind() == Kind::Corrupt => {
                    self.connections.count_unreadable(wire::Unreadable::Foreign);
                    Ok(None)
                }
                reply => reply,
            }
        }
    }

    fn read(&self, stored: &Bytes) -> Option<Arc<Entry>> {
        match wire::decode(stored) {
            Ok(entry) => Some(entry),
            Err(why) => {
                self.connections.count_unreadable(why);
                None
            }
        }
    }

    async fn store(&self, key: &str, entry: &Entry) -> Result<bool, Error> {
        let left = entry.expires.since(self.clock.now().wall);
        let Some(value) = wire::encode(entry).filter(|_| !left.is_zero()) else {
            return Ok(false);
        };
        let key = self.full(key);
        self.connections.unless_in_doubt(key.as_bytes())?;
        let arguments = [Arg::Bytes(&value), millis(left).into()];
        let keys = [key.as_bytes()];
        self.connections
            .script(Verb::Put, &PUT, &keys, &arguments)
            .await
    }

    async fn unlink(&self, key: &str) -> Result<u64, Error> {
        let mut cmd = Cmd::new();
        cmd.arg("UNLINK").arg(&*self.full(key));
        self.connections.query(Verb::Remove, &cmd).await
    }

    async fn sweep(&self, glob: &str, kind: &str) -> Result<u64, Error> {
        let glob = [&escaped(&self.namespace), glob].concat();
        let mut removed = 0;
        for primary in self.connections.primaries().await? {
            removed += self.sweep_primary(&primary, &glob, kind).await?;
        }
        Ok(removed)
    }

    async fn sweep_primary(&self, at: &Primary, glob: &str, kind: &str) -> Result<u64, Error> {
        let (mut cursor, mut removed) = (0_u64, 0);
        loop {
            let mut cmd = Cmd::new();
            cmd.arg("SCAN").arg(cursor).arg("MATCH").arg(glob);
            cmd.arg("COUNT").arg(BATCH).arg("TYPE").arg("string");
            let found: Vec<Bytes>;
            (cursor, found) = self.connections.query_at(at, Verb::Scan, &cmd).await?;
            removed += self.remove_kind(found, kind).await?;
            if cursor == 0 {
                return Ok(removed);
            }
        }
    }

    async fn remove_kind(&self, found: Vec<Bytes>, kind: &str) -> Result<u64, Error> {
        let arguments = [Arg::Bytes(&wire::MAGIC), kind.into()];
        sum(found.into_iter().map(|key| async move {
            self.connections
                .script(Verb::Remove, &REMOVE, &[&key], &arguments)
                .await
        }))
        .await
    }
}

impl Entries for RedisEntries {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Arc<Entry>>> {
        let stored = self.stored(key);
        Box::pin(stored.map_ok(|stored| self.read(&stored?)))
    }

    fn put<'a>(&'a self, key: &'a str, entry: &'a Arc<Entry>) -> StoreFuture<'a, bool> {
        Box::pin(self.store(key, entry))
    }

    fn remove<'a>(&'a self, keys: &'a [Box<str>]) -> StoreFuture<'a, u64> {
        Box::pin(sum(keys.iter().map(|key| self.unlink(key))))
    }

    fn remove_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.sweep(glob, "entry"))
    }

    fn try_lock<'a>(&'a self, key: &'a str, token: u64, lease: Duration) -> StoreFuture<'a, bool> {
        let lock = self.lock(key);
        let mut cmd = Cmd::new();
        cmd.arg("SET").arg(&*lock).arg(token);
        cmd.arg("NX").arg("PX").arg(millis(lease));
        Box::pin(async move {
            self.connections
                .unless_in_doubt(self.full(key).as_bytes())?;
            self.connections.unless_in_doubt(lock.as_bytes())?;
            let taken: Option<String> = self.connections.query(Verb::Lock, &cmd).await?;
            Ok(taken.is_some())
        })
    }

    fn unlock<'a>(&'a self, key: &'a str, token: u64) -> StoreFuture<'a, bool> {
        let key = self.lock(key);
        Box::pin(async move {
            let (keys, arguments) = ([key.as_bytes()], [token.into()]);
            self.connections
                .script(Verb::Unlock, &UNLOCK, &keys, &arguments)
                .await
        })
    }
}

impl Plain for RedisEntries {
    fn get_plain<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        let stored = self.stored(key);
        Box::pin(stored.map_ok(|stored| stored.filter(|text| !text.starts_with(&wire::MAGIC))))
    }

    fn put_plain<'a>(
        &'a self,
        key: &'a str,
        json: &'a Bytes,
        ttl: Duration,
    ) -> StoreFuture<'a, ()> {
        let mut cmd = Cmd::new();
        cmd.arg("SET").arg(&*self.full(key)).arg(&json[..]);
        cmd.arg("PX").arg(millis(ttl));
        Box::pin(async move { self.connections.query(Verb::Put, &cmd).await })
    }

    fn remove_plain_matching<'a>(&'a self, glob: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(self.sweep(glob, "plain"))
    }
}

impl fmt::Debug for RedisEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisEntries")
            .field("connections", &self.connections)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Runs all of them, some at once, even when one fails.
async fn sum(
    removals: impl Iterator<Item = impl Future<Output = Result<u64, Error>>>,
) -> Result<u64, Error> {
    let mut removals = stream::iter(removals).buffer_unordered(IN_FLIGHT);
    let (mut removed, mut failed) = (0, None);
    while let Some(removal) = removals.next().await {
        match removal {
            Ok(count) => removed += count,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(removed), Err)
}

/// Redis takes no time to live of zero.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(u64::MAX)
        .clamp(1, LONGEST)
}

/// A hundred years: what Redis adds its clock to must not overflow.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// As a glob that matches `text` and nothing else.
fn escaped(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}
