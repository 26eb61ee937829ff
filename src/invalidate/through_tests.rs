//! Concurrent write-through, on two keeps that share a Redis.
//!
//! In a round, eight writers write one key at the same time; afterwards only the latest version may
//! be stored. `KEEP_THROUGH_ROUNDS` sets the number of rounds; the default is as many as 20 seconds
//! allow.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use tokio::{
    sync::watch,
    task::{JoinSet, yield_now},
};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    CacheLayer, InvalidateLayer, Keep, RedisStore, Route, Scope, Table,
    engine::tiers::{FoundEntry, StoreLookup},
    key::KeyBuf,
    message::ResponseBody,
    store::entry::Content,
    support::RedisServer,
    table::{Through, Write, mins},
};

const WRITERS: usize = 8;
/// The number of keys that are written at the same time. With more records than fit in a reply,
/// `Through::Answer` would store nothing.
const KEYS: usize = 8;

/// The latest version of each row.
#[derive(Default)]
struct Database {
    rows: Mutex<HashMap<String, u64>>,
}

impl Database {
    fn write(&self, path: &str) -> u64 {
        let mut rows = self.rows.lock().expect("whole");
        let row = rows.entry(path.to_owned()).or_default();
        *row += 1;
        *row
    }

    fn read(&self, path: &str) -> u64 {
        self.rows
            .lock()
            .expect("whole")
            .get(path)
            .copied()
            .unwrap_or(0)
    }

    /// Handles a request. Yields before and after, so that reads, commits and appends interleave in many
    /// orders.
    async fn handle(&self, method: Method, path: &str, round: &Round) -> Response<Full<Bytes>> {
        yield_up_to(4).await;
        let version = match method {
            Method::PUT => {
                let version = self.write(path);
                round.reorder().await;
                version
            }
            _ => self.read(path),
        };
        yield_up_to(8).await;
        Response::new(Full::from(version.to_string()))
    }
}

/// Makes the writers of one key append in another order than they commit.
struct Round {
    /// The number of writers that write at the same time. In half of the rounds the last writer begins
    /// after the others: otherwise hardly any response would be stored.
    first: usize,
    /// The number of writers that must have committed before the first of them appends.
    together: usize,
    order: [usize; WRITERS],
    progress: watch::Sender<RoundProgress>,
}

#[derive(Default)]
struct RoundProgress {
    committed: usize,
    released: usize,
    ended: usize,
}

impl Round {
    fn new() -> Self {
        let first = WRITERS - fastrand::usize(..2);
        let together = [1, 2, 4, WRITERS][fastrand::usize(..4)];
        let mut order = std::array::from_fn(|turn| turn);
        for group in order[..first].chunks_mut(together) {
            fastrand::shuffle(group);
        }
        Self {
            first,
            together,
            order,
            progress: watch::Sender::default(),
        }
    }

    async fn begin(&self, writer: usize) {
        if writer >= self.first {
            self.reaches(|now| now.ended == self.first).await;
        }
    }

    /// Called right after the commit.
    async fn reorder(&self) {
        let mut own = 0;
        self.progress.send_modify(|now| {
            own = now.committed;
            now.committed += 1;
        });
        let group = (own / self.together + 1) * self.together;
        let all = if own < self.first {
            group.min(self.first)
        } else {
            WRITERS
        };
        let turn = self.order[own];
        self.reaches(|now| now.committed >= all && now.released == turn)
            .await;
        self.progress.send_modify(|now| now.released += 1);
    }

    fn end(&self) {
        self.progress.send_modify(|now| now.ended += 1);
    }

    async fn reaches(&self, condition: impl Fn(&RoundProgress) -> bool) {
        let _ = self.progress.subscribe().wait_for(condition).await;
    }
}

async fn yield_up_to(most: u32) {
    for _ in 0..fastrand::u32(..=most) {
        yield_now().await;
    }
}

async fn keep(server: &RedisServer, through: Through) -> Keep {
    let table = Table::new().ttl("row", mins(30)).route(
        Route::new("/rows/{id}")
            .key("row:{id}")
            .scope(Scope::Public)
            .write(Write::Through)
            .through(through),
    );
    // Not to fail on a busy machine.
    let store = RedisStore::builder(server.url()).deadline(Duration::from_secs(5));
    let store = store.connect().await.expect("a store");
    Keep::with_store(table, store).await.expect("a keep")
}

type Stack = BoxCloneSyncService<
    Request<String>,
    Response<ResponseBody<ResponseBody<Full<Bytes>>>>,
    Infallible,
>;

/// The layers over a handler of the database and the round in the request's extensions.
fn stack(keep: &Keep) -> Stack {
    let handler = service_fn(|request: Request<String>| async move {
        let extensions = request.extensions();
        let database = extensions.get::<Arc<Database>>().expect("a database");
        let round = extensions.get::<Arc<Round>>().expect("a round");
        let (method, path) = (request.method().clone(), request.uri().path());
        Ok(database.handle(method, path, round).await)
    });
    let layers = (InvalidateLayer::new(keep), CacheLayer::new(keep));
    BoxCloneSyncService::new(layers.layer(handler))
}

/// Sends a write or a read.
async fn send(
    stack: Stack,
    database: Arc<Database>,
    round: Arc<Round>,
    method: Method,
    path: String,
) {
    yield_up_to(16).await;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .extension(database)
        .extension(round)
        .body(String::new());
    stack
        .oneshot(request.expect("a request"))
        .await
        .expect("a response");
}

/// Waits until both keeps have applied every write.
async fn sync(keeps: &[Keep; 2]) {
    for keep in keeps {
        keep.engine()
            .fence
            .sync()
            .await
            .expect("the journal answers");
    }
}

/// The versions that both tiers would serve.
async fn stored(keep: &Keep, id: usize) -> Vec<u64> {
    let (engine, none) = (keep.engine(), HeaderMap::new());
    let key = KeyBuf::of(&format!("row:{id}"), 0, 0);
    let local = engine.tiers.lookup_local(&key, &none, engine.clock.now());
    let in_store = engine.tiers.lookup_in_store(&key, &none).await;
    let in_store = match in_store {
        StoreLookup::Found((found, _)) => Some(found),
        StoreLookup::HitForMiss | StoreLookup::Nothing => None,
    };
    let found = [local, in_store];
    found.into_iter().flatten().filter_map(version).collect()
}

fn version(found: FoundEntry) -> Option<u64> {
    match &found.entry.content {
        Content::Response(response) => std::str::from_utf8(&response.body).ok()?.parse().ok(),
        _ => None,
    }
}

async fn run_rounds(through: Through) {
    let limit: Option<usize> = std::env::var("KEEP_THROUGH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let server = RedisServer::start();
    let keeps = [keep(&server, through).await, keep(&server, through).await];
    let stacks = [stack(&keeps[0]), stack(&keeps[1])];
    let database = Arc::new(Database::default());
    let (start, mut done, mut replaced) = (Instant::now(), 0, 0);
    while done < limit.unwrap_or(100_000)
        && (limit.is_some() || start.elapsed() < Duration::from_secs(20))
    {
        let mut requests = JoinSet::new();
        for id in 0..KEYS {
            let round = Arc::new(Round::new());
            for number in 0..=WRITERS {
                let stack = stacks[(id + number) % 2].clone();
                let database = Arc::clone(&database);
                let (round, path) = (Arc::clone(&round), format!("/rows/{id}"));
                requests.spawn(async move {
                    if number == WRITERS {
                        return send(stack, database, round, Method::GET, path).await;
                    }
                    round.begin(number).await;
                    send(stack, database, Arc::clone(&round), Method::PUT, path).await;
                    round.end();
                });
            }
        }
        requests.join_all().await;
        sync(&keeps).await;
        for id in 0..KEYS {
            let latest = database.read(&format!("/rows/{id}"));
            for keep in &keeps {
                let versions = stored(keep, id).await;
                assert!(
                    versions.iter().all(|v| *v == latest),
                    "{versions:?}, not {latest}"
                );
                replaced += versions.len();
            }
        }
        done += KEYS;
    }
    println!(
        "{through:?}: {done} rounds in {:?}, {replaced} found stored",
        start.elapsed()
    );
    assert!(
        replaced > done / 20,
        "{replaced} of {done}: too little was stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_refetches_leave_no_old_version() {
    run_rounds(Through::Refetch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writes_that_store_their_responses_leave_no_old_version() {
    run_rounds(Through::Answer).await;
}
