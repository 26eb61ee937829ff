//! Requests while Redis is stopped, compared with the same requests to a keep without Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::task::JoinSet;
use tower::Layer;
use tower_keep::{
    CacheLayer, Keep, RedisStore, Route, Scope, Table,
    cache::Cache,
    table::{Local, Store, hours},
};

use super::{
    inner::{Inner, fetch},
    servers::RedisServer,
};

const DEADLINE: Duration = Duration::from_millis(50);
const IN_FLIGHT: usize = 1000;
const ROUNDS: usize = 9;
/// Requests per client and round.
const REQUESTS: usize = 20;

/// Prints the latency of requests while Redis is stopped, and the time until hits are served again.
pub(crate) async fn outage() {
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url()).await;
    let store = store.expect("the server runs");
    let keep = Keep::with_store(table(), store).await;
    let with = Requests::new(keep.expect("a valid table"));
    let without = Requests::new(Keep::new(table()).expect("a valid table"));
    while !with.ask("known").await.contains("; hit") {
        tokio::task::yield_now().await;
    }
    println!("\nRedis stopped, {IN_FLIGHT} in flight, every request a miss");

    server.stop_signal();
    let first = with.flood(1).await;
    let longest = first.last().copied().unwrap_or_default();
    println!("  longest wait before the breaker opens {longest:>12.1?} (goal: {DEADLINE:?})");

    let (mut ours, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        others.push(p99(&without.flood(REQUESTS).await));
        ours.push(p99(&with.flood(REQUESTS).await));
    }
    let (ours, other) = (median(ours), median(others));
    let ratio = ours.as_secs_f64() / other.as_secs_f64();
    println!("  p99 after it, without Redis           {other:>12.1?}");
    println!("  p99 after it, with a stopped one      {ours:>12.1?} {ratio:>5.2} x (goal: 1.5 x)");

    server.continue_signal();
    let since = Instant::now();
    while !with.ask("known").await.contains("; hit") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = since.elapsed();
    println!("  until it serves again                 {took:>12.1?} (goal: 2 s)");
}

/// Without a local tier, so that every request asks the store.
fn table() -> Table {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    Table::new()
        .ttl("engagement", hours(1))
        .local(Local::new().size(0))
        .store(Store::new().deadline(DEADLINE))
        .route(route)
}

#[derive(Clone)]
struct Requests {
    cached: Cache<Inner>,
    next: Arc<AtomicU64>,
}

impl Requests {
    fn new(keep: Keep) -> Self {
        Self {
            cached: CacheLayer::new(&keep).layer(Inner::new(1024)),
            next: Arc::default(),
        }
    }

    async fn ask(&self, name: &str) -> String {
        let uri = ["/engagements/", name].concat();
        let request = Request::get(uri).body(Full::<Bytes>::default());
        fetch(&self.cached, request.expect("a path")).await
    }

    /// The latencies of `requests` requests by each of [`IN_FLIGHT`] clients, in ascending order.
    async fn flood(&self, requests: usize) -> Vec<Duration> {
        let mut clients = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            let service = self.clone();
            clients.spawn(async move {
                let mut took = Vec::with_capacity(requests);
                for _ in 0..requests {
                    let name = service.next.fetch_add(1, Ordering::Relaxed).to_string();
                    let since = Instant::now();
                    // Lets all clients start before the first is answered.
                    tokio::task::yield_now().await;
                    service.ask(&name).await;
                    took.push(since.elapsed());
                }
                took
            });
        }
        let mut all = clients.join_all().await.concat();
        all.sort_unstable();
        all
    }
}

fn p99(ascending: &[Duration]) -> Duration {
    ascending[ascending.len() * 99 / 100]
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    values[values.len() / 2]
}
