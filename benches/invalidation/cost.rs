//! An invalidation among a thousand stored values and among a million, beside a loop of `SCAN` and
//! `DEL`. A value lies in Redis as a response does, with its key, tags and position.

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
/// What a prefix and a tag name: one of few, a thousand of many.
const GROUPS: usize = 1_000;
/// So many are on their way into Redis at the same time.
const AT_ONCE: usize = 256;
const ROUNDS: usize = 40;
const A_ROUND: usize = 25;

pub(crate) fn run() {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (few, many) = (Stored::new(FEW).await, Stored::new(MANY).await);
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

/// A Redis in which so many are stored.
struct Stored {
    server: RedisServer,
    keep: Keep,
}

impl Stored {
    async fn new(count: usize) -> Self {
        let server = RedisServer::start();
        // In Redis alone.
        let table = Table::new().local(Local::new().size(0));
        let keep = shared::keep(&server.url(), table).await;
        let stored = Self { server, keep };
        stored.fill(count).await;
        stored
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
        sets.for_each_concurrent(AT_ONCE, |set| set).await;
        let stored = self.server.command(&["DBSIZE"]).text();
        assert!(
            stored.parse().is_ok_and(|stored: usize| stored >= count),
            "{stored}"
        );
    }

    /// Of a few invalidations one after the other, the time of each.
    async fn invalidate(&self, round: usize, what: &impl Fn(usize) -> Invalidation) -> Vec<u64> {
        let mut nanos = Vec::new();
        for i in 0..A_ROUND {
            let start = Instant::now();
            let invalidation = self.keep.invalidate([what(round * A_ROUND + i)]);
            invalidation.await.expect("the server runs");
            nanos.push(start.elapsed().as_nanos() as u64);
        }
        nanos
    }

    /// As a cache without a fence does it.
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

async fn compare(name: &str, few: &Stored, many: &Stored, what: impl Fn(usize) -> Invalidation) {
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
