//! Hits in Redis, compared with raw `GET`s of the same values over as many connections.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_keep::{
    CacheLayer, Route, Scope, Table,
    cache::Cache,
    table::{Local, hours},
};

use super::{
    flood::{Load, beside},
    inner::{self, Inner, fetch},
    raw::Raw,
    servers::RedisServer,
    shared,
};

pub(crate) async fn hits(on: &str) {
    let title = format!("1 KiB from Redis, {on} (goal: 75 % of raw GET, 0.8 us more)");
    compare(&title, 1024, 10_000).await;
    let title = format!("64 KiB from Redis, {on} (goal: 85 % of raw GET)");
    compare(&title, 64 << 10, 500).await;
}

async fn compare(title: &str, bytes: usize, keys: usize) {
    let server = RedisServer::start();
    let service = Arc::new(service(&server, bytes).await);
    let names: Arc<[String]> = (0..keys)
        .map(|i| format!("550e8400-e29b-41d4-a716-{i:012}"))
        .collect();
    fill(&service, &names).await;
    let raw = Raw::connect(&server.url()).await;
    for in_flight in [64, 256] {
        beside(
            title,
            in_flight,
            &[get(&raw, &names), hit(&service, &names)],
        )
        .await;
    }
}

/// A cache over Redis without a local tier.
async fn service(server: &RedisServer, bytes: usize) -> Cache<Inner> {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    let table = Table::new()
        .ttl("engagement", hours(1))
        .local(Local::new().size(0))
        .route(route);
    let keep = shared::keep(&server.url(), table).await;
    CacheLayer::new(&keep).layer(Inner::new(bytes))
}

async fn fill(service: &Cache<Inner>, names: &[String]) {
    for name in names {
        while !fetch(service, request(name)).await.contains("; hit") {
            tokio::task::yield_now().await;
        }
    }
}

fn get(raw: &Raw, names: &Arc<[String]>) -> Load<'static> {
    let (raw, names) = (raw.clone(), Arc::clone(names));
    Load::new("raw GET", move |i| {
        let raw = raw.clone();
        let name = &names[i as usize % names.len()];
        let mut command = redis::cmd("GET");
        command.arg(["engagement:", name].concat());
        async move {
            let redis::Value::BulkString(_) = raw.send(command).await else {
                panic!("nothing is stored under this key");
            };
        }
    })
}

fn hit(service: &Arc<Cache<Inner>>, names: &[String]) -> Load<'static> {
    let service = Arc::clone(service);
    // Parsing the URI is the server's work, not the layer's.
    let uris: Arc<[_]> = names.iter().map(|name| uri(name)).collect();
    Load::new("hit in Redis", move |i| {
        let mut service = Cache::clone(&service);
        let request = inner::request(&uris[i as usize % uris.len()]);
        async move {
            let response = service.call(request).await.expect("a response");
            assert!(response.headers().contains_key(header::AGE), "a hit");
        }
    })
}

pub(crate) fn request(name: &str) -> Request<Full<Bytes>> {
    inner::request(&uri(name))
}

fn uri(name: &str) -> Uri {
    ["/engagements/", name].concat().parse().expect("a path")
}
