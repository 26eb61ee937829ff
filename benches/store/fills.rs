//! Misses that are filled for all processes, compared with `GET` and `SET` by hand.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU64, Ordering},
};

use redis::Cmd;
use tower::Layer;
use tower_keep::{CacheLayer, Keep, Key, Route, Scope, Table};

use super::{
    flood::{Load, beside},
    hits::request,
    inner::{Inner, fetch},
    raw::Raw,
    servers::RedisServer,
    shared,
};

const BYTES: usize = 1024;

pub(crate) async fn fills() {
    let server = RedisServer::start();
    let raw = Raw::connect(&server.url()).await;
    let keep = keep(&server).await;
    let loads = [by_hand(&raw), layer(&keep), value(&keep)];
    let title = "a miss of 1 KiB: made once for all processes, stored in Redis";
    beside(title, 64, &loads).await;
}

async fn keep(server: &RedisServer) -> Keep {
    let route = Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public);
    shared::keep(&server.url(), Table::new().route(route)).await
}

/// Cache-aside without a lock.
fn by_hand(raw: &Raw) -> Load<'static> {
    let (raw, value) = (raw.clone(), "x".repeat(BYTES));
    Load::new("GET, SET by hand", move |_| {
        let (raw, value, key) = (raw.clone(), value.clone(), unused_name("raw"));
        async move {
            let mut get = Cmd::new();
            get.arg("GET").arg(&key);
            raw.send(get).await;
            let mut set = Cmd::new();
            set.arg("SET").arg(&key).arg(value).arg("PX").arg(1_800_000);
            raw.send(set).await;
        }
    })
}

fn layer(keep: &Keep) -> Load<'static> {
    let service = CacheLayer::new(keep).layer(Inner::new(BYTES));
    Load::new("CacheLayer, a miss", move |_| {
        let (service, request) = (service.clone(), request(&unused_name("layer")));
        async move {
            let status = fetch(&service, request).await;
            assert!(status.contains("; stored"), "{status}");
        }
    })
}

fn value(keep: &Keep) -> Load<'static> {
    let (keep, value) = (keep.clone(), "x".repeat(BYTES));
    Load::new("Keep::get_or_set, a miss", move |_| {
        let (keep, value) = (keep.clone(), value.clone());
        let key = Key::new("engagement").id(unused_name("value"));
        async move {
            let make = || async { Ok::<_, Infallible>(value) };
            keep.get_or_set(&key, make).await.expect("a value");
        }
    })
}

/// An unused name.
fn unused_name(kind: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{kind}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
