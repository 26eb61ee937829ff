//! Processes that share a Redis fetch once for all. Several keeps in one process stand for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::{sync::watch, task::JoinSet};
use tower::{Layer, Service, service_fn};
use tower_keep::{
    CacheLayer, Keep, Key, Route, Scope, Table,
    message::ResponseBody,
    table::{Local, mins},
};

use crate::{
    common::{
        client::{get, send},
        keeps::redis_keep,
        origin::FullResponse,
    },
    support::{RedisServer, until},
};

/// A handler that responds once its gate is open.
struct SlowOrigin {
    gate: watch::Sender<bool>,
    calls: AtomicUsize,
    field: Option<(&'static str, &'static str)>,
}

impl SlowOrigin {
    fn new(field: Option<(&'static str, &'static str)>) -> Arc<Self> {
        Arc::new(Self {
            gate: watch::Sender::new(false),
            calls: AtomicUsize::new(0),
            field,
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until it has been called so often, and asserts that it is not called more often.
    async fn called(&self, times: usize) {
        until("a call", || async { (self.calls() >= times).then_some(()) }).await;
        assert_eq!(self.calls(), times);
    }

    async fn respond(&self) -> FullResponse {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let open = self.gate.subscribe().wait_for(|open| *open).await.is_ok();
        assert!(open, "the gate is gone");
        let mut response = Response::new(Full::from(format!("call {call}")));
        if let Some((name, value)) = self.field {
            response
                .headers_mut()
                .insert(name, value.parse().expect("a value"));
        }
        response
    }
}

fn cached(
    keep: &Keep,
    origin: &Arc<SlowOrigin>,
) -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<ResponseBody<Full<Bytes>>>,
    Error = std::convert::Infallible,
    Future: Send,
> + Clone
+ Send
+ Sync
+ use<> {
    let origin = Arc::clone(origin);
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let origin = Arc::clone(&origin);
        async move { Ok(origin.respond().await) }
    });
    CacheLayer::new(keep).layer(handler)
}

async fn keeps<const N: usize>(server: &RedisServer, route: Route) -> [Keep; N] {
    keeps_with(server, route, Local::new()).await
}

async fn keeps_with<const N: usize>(server: &RedisServer, route: Route, local: Local) -> [Keep; N] {
    let table = Table::new().ttl("engagement", mins(30)).route(route);
    let table = table.local(local);
    let mut keeps = Vec::new();
    for _ in 0..N {
        keeps.push(redis_keep(server.url(), table.clone()).await);
    }
    keeps.try_into().expect("as many")
}

fn route() -> Route {
    Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public)
}

/// How often a process has tried to take a lock.
fn lock_attempts(server: &RedisServer) -> u64 {
    server.calls("set")
}

async fn wait_for_lock_attempts(server: &RedisServer, times: u64) {
    until("every process to try the lock", || async {
        (lock_attempts(server) >= times).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_fetches_for_all() {
    let server = RedisServer::start();
    let origin = SlowOrigin::new(None);
    let keeps: [Keep; 8] = keeps(&server, route()).await;
    let mut requests = JoinSet::new();
    for keep in &keeps {
        let service = cached(keep, &origin);
        for _ in 0..20 {
            let service = service.clone();
            requests.spawn(async move { send(&service, get("/engagements/42")).await.body });
        }
    }
    wait_for_lock_attempts(&server, 8).await;
    origin.called(1).await;
    origin.gate.send_replace(true);
    for body in requests.join_all().await {
        assert_eq!(body, "call 1");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_dead_process_expires() {
    let server = RedisServer::start();
    let origin = SlowOrigin::new(None);
    origin.gate.send_replace(true);
    let keeps: [Keep; 4] = keeps(&server, route()).await;
    server.command(&["SET", "~lock:engagement:42", "1", "PX", "300"]);
    let mut requests = JoinSet::new();
    for keep in &keeps {
        let service = cached(keep, &origin);
        requests.spawn(async move { send(&service, get("/engagements/42")).await.body });
    }
    for body in requests.join_all().await {
        assert_eq!(body, "call 1");
    }
    assert_eq!(origin.calls(), 1);
    until("the lock to be given back", || async {
        let left = server.command(&["EXISTS", "~lock:engagement:42"]);
        (left.text() == "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_do_not_wait_for_an_uncacheable_response() {
    check_uncacheable(Local::new()).await;
}

/// Regression: the note was looked for in the local tier only.
#[tokio::test(flavor = "multi_thread")]
async fn processes_without_a_local_tier_do_not_wait_for_an_uncacheable_response() {
    check_uncacheable(Local::new().size(0)).await;
}

async fn check_uncacheable(local: Local) {
    let server = RedisServer::start();
    let origin = SlowOrigin::new(Some(("cache-control", "no-store")));
    let keeps: [Keep; 6] = keeps_with(&server, route(), local.clone()).await;
    let mut requests = JoinSet::new();
    for keep in &keeps {
        let service = cached(keep, &origin);
        requests.spawn(async move { send(&service, get("/engagements/42")).await });
    }
    wait_for_lock_attempts(&server, 6).await;
    origin.called(1).await;
    let start = Instant::now();
    origin.gate.send_replace(true);
    requests.join_all().await;
    assert_eq!(origin.calls(), 6);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    // While the key is known as uncacheable, no process tries to take the lock.
    let tried = lock_attempts(&server);
    send(&cached(&keeps[0], &origin), get("/engagements/42")).await;
    let late: [Keep; 1] = keeps_with(&server, route(), local).await;
    send(&cached(&late[0], &origin), get("/engagements/42")).await;
    assert_eq!(lock_attempts(&server), tried);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_leader_releases_the_lock() {
    let server = RedisServer::start();
    let origin = SlowOrigin::new(None);
    let keeps: [Keep; 2] = keeps(&server, route()).await;
    let (first, second) = (cached(&keeps[0], &origin), cached(&keeps[1], &origin));
    let leaving = tokio::spawn(async move { send(&first, get("/engagements/42")).await });
    origin.called(1).await;
    let waiting = tokio::spawn(async move { send(&second, get("/engagements/42")).await });
    wait_for_lock_attempts(&server, 2).await;
    leaving.abort();
    origin.called(2).await;
    origin.gate.send_replace(true);
    assert_eq!(waiting.await.expect("a response").body, "call 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_makes_a_value_for_all() {
    let server = RedisServer::start();
    let origin = SlowOrigin::new(None);
    let keeps: [Keep; 6] = keeps(&server, route()).await;
    let key = Key::new("agent").id(7);
    let mut values = JoinSet::new();
    for keep in &keeps {
        let (keep, key, origin) = (keep.clone(), key.clone(), Arc::clone(&origin));
        values.spawn(async move {
            let make = || async {
                origin.respond().await;
                Ok::<_, std::convert::Infallible>("made".to_owned())
            };
            keep.get_or_set(&key, make).await.expect("a value")
        });
    }
    wait_for_lock_attempts(&server, 6).await;
    origin.called(1).await;
    origin.gate.send_replace(true);
    for value in values.join_all().await {
        assert_eq!(value, "made");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_refreshes_for_all() {
    let server = RedisServer::start();
    let origin = SlowOrigin::new(None);
    origin.gate.send_replace(true);
    // Due at once: the remaining lifetime is below this from the beginning.
    let route = route().refresh_ahead(mins(30) - Duration::from_millis(1));
    let keeps: [Keep; 4] = keeps(&server, route).await;
    let services: Vec<_> = keeps.iter().map(|keep| cached(keep, &origin)).collect();
    assert_eq!(
        send(&services[0], get("/engagements/42")).await.body,
        "call 1"
    );
    origin.gate.send_replace(false);
    let tried = lock_attempts(&server);
    for service in &services {
        let body = until("a hit that is due", || async {
            let seen = send(service, get("/engagements/42")).await;
            seen.cache_status().contains("hit").then_some(seen.body)
        })
        .await;
        assert_eq!(body, "call 1");
    }
    // A process that finds another one refreshing does not wait.
    until("a refresh and three that leave it", || async {
        for service in &services {
            send(service, get("/engagements/42")).await;
        }
        (lock_attempts(&server) >= tried + 4).then_some(())
    })
    .await;
    origin.called(2).await;
    origin.gate.send_replace(true);
    for service in &services {
        until("what was refreshed", || async {
            let seen = send(service, get("/engagements/42")).await;
            (seen.body != "call 1").then_some(())
        })
        .await;
    }
}
