//! Write-through by many at once, on two keeps that share a Redis.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use tokio::task::{JoinSet, yield_now};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    CacheLayer, InvalidateLayer, Keep, RedisStore, Route, Scope, Table,
    entry::Content,
    keep::{RequestBody, lookup::Found},
    key::KeyBuf,
    support::RedisServer,
    table::{Through, Write, mins},
};

const WRITERS: usize = 8;
/// How many keys are written at the same time.
const KEYS: usize = 32;

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

    /// Takes its time before and after, so that commits and appends come in any order.
    async fn answer(self: Arc<Self>, method: Method, path: String) -> Response<Full<Bytes>> {
        dawdle(4).await;
        let version = match method {
            Method::PUT => self.write(&path),
            _ => self.read(&path),
        };
        dawdle(8).await;
        Response::new(Full::from(version.to_string()))
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
async fn send(keep: Keep, database: Arc<Database>, method: Method, path: String) {
    let handler = service_fn(move |request: Request<RequestBody<RequestBody<String>>>| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let database = Arc::clone(&database);
        async move { Ok::<_, Infallible>(database.answer(method, path).await) }
    });
    let service = (InvalidateLayer::new(&keep), CacheLayer::new(&keep)).layer(handler);
    dawdle(64).await;
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
        keep.shared()
            .fence
            .sync()
            .await
            .expect("the journal answers");
    }
}

/// The versions that the tiers would serve.
async fn stored(keep: &Keep, id: usize) -> Vec<u64> {
    let (shared, none) = (keep.shared(), HeaderMap::new());
    let key = KeyBuf::of(&format!("row:{id}"), 0, 0);
    let local = shared.find_local(&key, &none, shared.clock.now());
    let found = [local, shared.find_stored(&key, &none).await];
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
    let asked: Option<usize> = std::env::var("TOWER_KEEP_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok());
    let server = RedisServer::start();
    let keeps = [keep(&server, through).await, keep(&server, through).await];
    let database = Arc::new(Database::default());
    let (start, mut done, mut replaced) = (Instant::now(), 0, 0);
    while done < asked.unwrap_or(10_000)
        && (asked.is_some() || start.elapsed() < Duration::from_secs(20))
    {
        let mut requests = JoinSet::new();
        for id in 0..KEYS {
            for writer in 0..WRITERS {
                let (keep, database) = (keeps[writer % 2].clone(), Arc::clone(&database));
                requests.spawn(send(keep, database, Method::PUT, format!("/rows/{id}")));
            }
            let (keep, database) = (keeps[id % 2].clone(), Arc::clone(&database));
            requests.spawn(send(keep, database, Method::GET, format!("/rows/{id}")));
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
