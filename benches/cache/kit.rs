//! Filled caches.

use http::Uri;
use tokio::runtime::{Builder, EnterGuard, Runtime};
use tower::Layer;
use tower_keep::{
    CacheLayer, Keep, Route, Scope, Table,
    cache::Cache,
    table::{Local, Unlisted, hours},
};

use super::support::{
    inner::{Inner, fetch, request, response_of},
    probing,
};

pub(crate) type Cached = Cache<Inner>;

/// The number of keys. Fewer under callgrind: instruction counts do not depend on it.
pub(crate) fn keys() -> usize {
    if probing() { 500 } else { 10_000 }
}

pub(crate) fn route() -> Route {
    Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public)
}

pub(crate) fn table() -> Table {
    table_with(route())
}

pub(crate) fn table_with(route: Route) -> Table {
    Table::new()
        .ttl("engagement", hours(1))
        .unlisted(Unlisted::Pass)
        .local(Local::new().size(256 << 20))
        .route(route)
}

/// `/engagements/ID` for `count` ids.
pub(crate) fn uris(count: usize) -> Vec<Uri> {
    let uri = |i| format!("/engagements/550e8400-e29b-41d4-a716-{i:012}");
    (0..count)
        .map(|i| uri(i).parse().expect("a path"))
        .collect()
}

/// A cache with all of `uris` in its local tier.
pub(crate) struct Warm {
    pub(crate) keep: Keep,
    pub(crate) service: Cached,
    pub(crate) uris: Vec<Uri>,
    runtime: Runtime,
}

impl Warm {
    pub(crate) fn new(table: Table, count: usize, bytes: usize) -> Self {
        let keep = Keep::new(table).expect("a valid table");
        let service = CacheLayer::new(&keep).layer(Inner::new(bytes));
        let warm = Self {
            keep,
            service,
            uris: uris(count),
            runtime: Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
        };
        warm.fill();
        warm
    }

    /// Requests every key until the local tier answers it with a prebuilt head.
    fn fill(&self) {
        self.runtime.block_on(async {
            for uri in &self.uris {
                while !fetch(&self.service, request(uri)).await.contains("; hit") {
                    tokio::task::yield_now().await;
                }
            }
        });
        self.hits()(2 * self.uris.len() as u64);
    }

    /// Runs a future. Tasks that it spawns continue at the next call.
    pub(crate) fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Lets hits spawn tasks, which stay pending.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Requests the keys in turn, with URIs whose reference counts no other thread touches.
    pub(crate) fn hits(&self) -> impl FnMut(u64) + Send + use<> {
        let (mut service, uris) = (self.service.clone(), uris(self.uris.len()));
        let mut at = 0;
        move |n| {
            for _ in 0..n {
                at = (at + 1) % uris.len();
                drop(response_of(&mut service, request(&uris[at])));
            }
        }
    }
}

/// The requests, sent to the inner service directly.
pub(crate) fn inner_only(inner: &Inner, uris: Vec<Uri>) -> impl FnMut(u64) + Send + use<> {
    let mut service = inner.clone();
    let mut at = 0;
    move |n| {
        for _ in 0..n {
            at = (at + 1) % uris.len();
            drop(response_of(&mut service, request(&uris[at])));
        }
    }
}
