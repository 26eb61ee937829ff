//! Write-through by many at once, on two keeps that share a Redis.
//!
//! A round is one key that eight write at the same time, and what is stored of it once they are
//! done. `KEEP_THROUGH_ROUNDS` says how many; without it, as many as 20 seconds allow.

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
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    CacheLayer, InvalidateLayer, Keep, RedisStore, Route, Scope, Table,
    engine::lookup::Found,
    key::KeyBuf,
    store::entry::Content,
    support::RedisServer,
    table::{Through, Write, mins},
};

const WRITERS: usize = 8;
/// How many keys are written at the same time. More than the records that come along with an answer
/// would leave nothing to be stored by `Through::Answer`.
const KEYS: usize = 8;

/// What counts: the latest version of each row.
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

    /// Takes its time before and after, so that reads, commits and appends come in any order.
    async fn answer(&self, method: Method, path: &str, round: &Round) -> Response<Full<Bytes>> {
        dawdle(4).await;
        let version = match method {
            Method::PUT => {
                let version = self.write(path);
                round.reorder().await;
                version
            }
            _ => self.read(path),
        };
        dawdle(8).await;
        Response::new(Full::from(version.to_string()))
    }
}

/// Lets the writers of one key go on, to their appends, in another order than they have committed in.
struct Round {
    /// How many write at the same time. In half of the rounds the last one begins when the others have
    /// been answered: else their own answers would hardly ever be stored.
    first: usize,
    /// How many must have committed before the first of them goes on.
    together: usize,
    order: [usize; WRITERS],
    progress: watch::Sender<Progress>,
}

#[derive(Default)]
struct Progress {
    committed: usize,
    gone_on: usize,
    answered: usize,
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
            self.reaches(|now| now.answered == self.first).await;
        }
    }

    /// To be called right after the commit.
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
        self.reaches(|now| now.committed >= all && now.gone_on == turn)
            .await;
        self.progress.send_modify(|now| now.gone_on += 1);
    }

    fn end(&self) {
        self.progress.send_modify(|now| now.answered += 1);
    }

    async fn reaches(&self, condition: impl Fn(&Progress) -> bool) {
        let _ = self.progress.subscribe().wait_for(condition).await;
    }
}

async fn dawdle(most: u32) {
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
    // What is tested is what happens, not how fast on a busy machine.
    let store = RedisStore::builder(server.url()).deadline(Duration::from_secs(5));
    let store = store.connect().await.expect("a store");
    Keep::with_store(table, store).await.expect("a keep")
}

/// A writer, or now and then a reader.
async fn send(
    keep: Keep,
    database: Arc<Database>,
    round: Arc<Round>,
    method: Method,
    path: String,
) {
    let handler = service_fn(move |request: Request<String>| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (database, round) = (Arc::clone(&database), Arc::clone(&round));
        async move { Ok::<_, Infallible>(database.answer(method, &path, &round).await) }
    });
    let service = (InvalidateLayer::new(&keep), CacheLayer::new(&keep)).layer(handler);
    dawdle(16).await;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(String::new());
    service
        .oneshot(request.expect("a request"))
        .await
        .expect("an answer");
}

/// Every process knows of every write.
async fn at_rest(keeps: &[Keep; 2]) {
    for keep in keeps {
        keep.engine()
            .fence
            .sync()
            .await
            .expect("the journal answers");
    }
}

/// The versions that the tiers would serve.
async fn stored(keep: &Keep, id: usize) -> Vec<u64> {
    let (shared, none) = (keep.engine(), HeaderMap::new());
    let key = KeyBuf::of(&format!("row:{id}"), 0, 0);
    let local = shared.find_local(&key, &none, shared.clock.now());
    let behind = shared.find_stored(&key, &none).await;
    let found = [local, behind.map(|(found, _)| found)];
    found.into_iter().flatten().filter_map(version).collect()
}

fn version(found: Found) -> Option<u64> {
    match &found.entry.content {
        Content::Response(response) => std::str::from_utf8(&response.body).ok()?.parse().ok(),
        _ => None,
    }
}

/// As many rounds as asked for, or as 20 seconds allow.
async fn rounds(through: Through) {
    let asked: Option<usize> = std::env::var("KEEP_THROUGH_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let server = RedisServer::start();
    let keeps = [keep(&server, through).await, keep(&server, through).await];
    let database = Arc::new(Database::default());
    let (start, mut done, mut replaced) = (Instant::now(), 0, 0);
    while done < asked.unwrap_or(100_000)
        && (asked.is_some() || start.elapsed() < Duration::from_secs(20))
    {
        let mut requests = JoinSet::new();
        for id in 0..KEYS {
            let round = Arc::new(Round::new());
            for number in 0..=WRITERS {
                let (keep, database) = (keeps[(id + number) % 2].clone(), Arc::clone(&database));
                let (round, path) = (Arc::clone(&round), format!("/rows/{id}"));
                requests.spawn(async move {
                    if number == WRITERS {
                        return send(keep, database, round, Method::GET, path).await;
                    }
                    round.begin(number).await;
                    send(keep, database, Arc::clone(&round), Method::PUT, path).await;
                    round.end();
                });
            }
        }
        requests.join_all().await;
        at_rest(&keeps).await;
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
        "{replaced} of {done}: hardly anything was stored"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refetched_by_many_nothing_old_stays() {
    rounds(Through::Refetch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_by_many_nothing_old_stays() {
    rounds(Through::Answer).await;
}
