//! An invalidation with a thousand and with a million stored values, compared with a loop of `SCAN` and `DEL`. A value
//! is stored in Redis in the same form as a response, with its key, tags and position.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use redis::{Cmd, Value};
use tokio::runtime::Builder;
use tower_keep::{Keep, Key, Table, keep::Invalidation, table::Local};

use super::{
    kit::quantile,
    servers::RedisServer,
    support::{raw::Raw, shared},
};

const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// The number of prefixes and tags: each covers 1 of 10^3 values, and 1,000 of 10^6.
const GROUPS: usize = 1_000;
/// Concurrent writes while filling.
const CONCURRENCY: usize = 256;
const ROUNDS: usize = 40;
const PER_ROUND: usize = 25;

pub(crate) fn run() {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (few, many) = (FilledRedis::new(FEW).await, FilledRedis::new(MANY).await);
        println!("\nan invalidation, with so many stored (goal: 1.5 x, from 10^3 to 10^6)");
        compare("by tag", &few, &many, |i| {
            Invalidation::tag(format!("org:{i}"))
        })
        .await;
        compare("by prefix", &few, &many, |i| {
            Invalidation::pattern(&format!("engagement:{i}:*")).expect("a pattern")
        })
        .await;
        let (few, many) = (few.scan_and_delete().await, many.scan_and_delete().await);
        print("SCAN and DEL of one prefix", few, many);
    });
}

/// A Redis server with stored values.
struct FilledRedis {
    server: RedisServer,
    keep: Keep,
}

impl FilledRedis {
    async fn new(count: usize) -> Self {
        let server = RedisServer::start();
        // Store in Redis only.
        let table = Table::new().local(Local::new().size(0));
        let keep = shared::keep(&server.url(), table).await;
        let redis = Self { server, keep };
        redis.fill(count).await;
        redis
    }

    async fn fill(&self, count: usize) {
        let text = "0".repeat(200);
        let set = |i: usize| {
            let (group, own) = (i % GROUPS, i / GROUPS);
            let key = Key::new("engagement").id(group).id(own);
            let entry = self.keep.entry(key).tag(format!("org:{group}"));
            let text = &text;
            async move { entry.set(text).await.expect("a value") }
        };
        let sets = stream::iter(0..count).map(set);
        sets.for_each_concurrent(CONCURRENCY, |set| set).await;
        let stored = self.server.command(&["DBSIZE"]).text();
        assert!(
            stored.parse().is_ok_and(|stored: usize| stored >= count),
            "{stored}"
        );
    }

    /// The times of some invalidations in sequence.
    async fn invalidate(&self, round: usize, what: &impl Fn(usize) -> Invalidation) -> Vec<u64> {
        let mut nanos = Vec::new();
        for i in 0..PER_ROUND {
            let start = Instant::now();
            let invalidation = self.keep.invalidate([what(round * PER_ROUND + i)]);
            invalidation.await.expect("the server runs");
            nanos.push(start.elapsed().as_nanos() as u64);
        }
        nanos
    }

    /// Deletes a prefix as a cache without a fence would.
    async fn scan_and_delete(&self) -> f64 {
        let raw = Raw::connect(&self.server.url()).await;
        let start = Instant::now();
        let mut cursor = b"0".to_vec();
        loop {
            let mut scan = Cmd::new();
            scan.arg("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg("engagement:42:*")
                .arg("COUNT")
                .arg(1000);
            let (next, keys) = page(raw.send(scan).await);
            if !keys.is_empty() {
                let mut delete = Cmd::new();
                delete.arg("DEL").arg(keys);
                raw.send(delete).await;
            }
            if next == b"0" {
                return start.elapsed().as_nanos() as f64 / 1000.0;
            }
            cursor = next;
        }
    }
}

fn page(reply: Value) -> (Vec<u8>, Vec<Vec<u8>>) {
    redis::from_redis_value(reply).expect("a cursor and keys")
}

async fn compare(
    name: &str,
    few: &FilledRedis,
    many: &FilledRedis,
    what: impl Fn(usize) -> Invalidation,
) {
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        of_few.extend(few.invalidate(round, &what).await);
        of_many.extend(many.invalidate(round, &what).await);
    }
    print(
        name,
        quantile(&mut of_few, 0.5),
        quantile(&mut of_many, 0.5),
    );
}

fn print(name: &str, few: f64, many: f64) {
    println!(
        "  {name:<46} {few:>9.0} us of 10^3 {many:>9.0} us of 10^6  {:>8.2} x",
        many / few
    );
}
