//! What reads show of accepted writes, through the layers and a worker.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, ServiceBuilder};
use tower_keep::{
    CacheLayer, Keep, Route, Scope, Table, WriteBehindLayer,
    cache::Cache,
    table::{Behind, PendingMode, Write, mins},
    write_behind::WriteBehind,
};

use super::{
    applied::Worker,
    kit::{self, accepted_id},
};
use crate::{
    common::{
        client::{TestResponse, as_user, get, send},
        keeps::new_keep,
        log::Log,
        origin::{Gate, Origin, OriginResult, cached, full, response},
    },
    support::until,
};

const PATH: &str = "/agents/7/activity";

fn table(mode: PendingMode) -> Table {
    let route = Route::new("/agents/{id}/activity")
        .key("agent:{id}:activity")
        .scope(Scope::Public)
        .ttl(mins(10))
        .write(Write::Behind)
        .pending(mode);
    let route = match mode {
        PendingMode::Body => route,
        _ => route.pending_id("id"),
    };
    Table::new()
        .behind(Behind::new().volatile(true))
        .route(route)
}

/// The activities that have been applied, the latest first.
#[derive(Clone, Default)]
struct Database(Arc<Mutex<Vec<Value>>>);

impl Database {
    fn handle(&self, request: &Request<Bytes>) -> OriginResult {
        let mut rows = self.0.lock().expect("whole");
        if request.method() == Method::POST {
            rows.insert(0, serde_json::from_slice(request.body()).expect("JSON"));
        }
        let content = Value::from(rows.clone()).to_string();
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(full(content)).expect("a response"))
    }

    fn origin(&self) -> Origin {
        let database = self.clone();
        Origin::from_fn(move |request, _| std::future::ready(database.handle(&request)))
    }

    fn ids(&self) -> Vec<u64> {
        ids(&Value::from(self.0.lock().expect("whole").clone()))
    }
}

fn ids(list: &Value) -> Vec<u64> {
    let list = list.as_array().expect("an array");
    let id = |activity: &Value| activity["id"].as_u64().expect("an id");
    list.iter().map(id).collect()
}

type Stack = WriteBehind<Cache<Origin>>;

fn stack(keep: &Keep, origin: &Origin) -> Stack {
    ServiceBuilder::new()
        .layer(WriteBehindLayer::new(keep))
        .layer(CacheLayer::new(keep))
        .service(origin.clone())
}

fn post(id: u64) -> Request<Full<Bytes>> {
    let fields = [("content-type", "application/json")];
    let request = kit::write("POST", PATH, &fields, "");
    as_user(
        "alice",
        request.map(|_| json!({ "id": id }).to_string().into()),
    )
}

async fn read(stack: &Stack) -> TestResponse {
    send(stack, as_user("alice", get(PATH))).await
}

async fn read_ids(stack: &Stack) -> Vec<u64> {
    let response = read(stack).await;
    ids(&serde_json::from_str(&response.body).expect("JSON"))
}

/// The `detail` that the layer added.
fn detail(response: &TestResponse) -> Option<&str> {
    let last = response
        .headers
        .get_all("cache-status")
        .iter()
        .next_back()?;
    let detail = last.to_str().ok()?.split("; detail=").nth(1)?;
    detail.starts_with("pending").then_some(detail)
}

#[tokio::test]
async fn a_read_shows_an_accepted_write_and_then_the_response_that_has_it() {
    let keep = new_keep(table(PendingMode::Prepend));
    let database = Database::default();
    let stack = stack(&keep, &database.origin());
    assert_eq!(read_ids(&stack).await, [0; 0], "stored");
    for id in 1..=3 {
        accepted_id(&send(&stack, post(id)).await);
    }
    let shown = read(&stack).await;
    assert_eq!(shown.body, "[{\"id\":3},{\"id\":2},{\"id\":1}]");
    assert_eq!(detail(&shown), Some("pending"));
    assert_eq!(shown.headers["cache-control"], "no-store");
    let others = send(&stack, get(PATH)).await;
    assert_eq!((others.body.as_str(), detail(&others)), ("[]", None));
    assert_eq!(database.ids(), [0; 0]);

    let _worker = Worker::start(&keep, &database.origin());
    until("the writes", || async {
        assert_eq!(read_ids(&stack).await, [3, 2, 1]);
        (kit::waiting(&keep).await == 0).then_some(())
    })
    .await;
    let applied = read(&stack).await;
    assert_eq!(applied.body, "[{\"id\":3},{\"id\":2},{\"id\":1}]");
    assert_eq!(detail(&applied), None);
    assert_eq!(send(&stack, get(PATH)).await.body, applied.body);
}

#[tokio::test]
async fn what_a_refused_write_showed_is_gone_with_its_end() {
    let keep = new_keep(table(PendingMode::Body));
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, |request, _| {
        Ok(match *request.method() {
            Method::GET => response(200, &[], "old"),
            _ => response(422, &[], "no"),
        }
        .map(full))
    });
    gate.admit(1);
    let stack = stack(&keep, &origin);
    assert_eq!(read(&stack).await.body, "old");
    gate.arrival().await;
    let put = kit::write("PUT", PATH, &[("content-type", "text/plain")], "new");
    let id = accepted_id(&send(&stack, as_user("alice", put)).await);
    let _worker = Worker::start(&keep, &origin);
    gate.arrival().await;
    let shown = read(&stack).await;
    assert_eq!((shown.status, shown.body.as_str()), (200, "new"));
    assert_eq!(shown.headers["content-type"], "text/plain");
    gate.open();
    until("the end of the write", || async {
        let status = send(&stack, as_user("alice", get(&format!("/writes/{id}")))).await;
        (kit::json(&status)["state"] == "dead").then_some(())
    })
    .await;
    let after = read(&stack).await;
    assert_eq!((after.body.as_str(), detail(&after)), ("old", None));

    let delete = kit::write("DELETE", PATH, &[], "");
    accepted_id(&send(&stack, as_user("bob", delete)).await);
    assert_eq!(read(&stack).await.body, "old", "the write is bob's");
}

#[tokio::test]
async fn the_writes_that_the_application_has_checked_are_shown_to_all() {
    let keep = new_keep(table(PendingMode::Append));
    let layer = WriteBehindLayer::new(&keep).validate(async |_| Ok::<_, http::StatusCode>(()));
    let stack = layer.layer(cached(&keep, &Database::default().origin()));
    accepted_id(&send(&stack, post(1)).await);
    assert_eq!(send(&stack, get(PATH)).await.body, "[{\"id\":1}]");
    let page = send(&stack, get(&format!("{PATH}?page=2"))).await;
    assert_eq!(page.body, "[]", "not on every page");
}

#[tokio::test]
async fn a_cache_outside_the_layer_is_reported_and_shows_nothing() {
    let (log, _guard) = Log::start();
    let keep = new_keep(table(PendingMode::Prepend));
    let inner = WriteBehindLayer::new(&keep).layer(Database::default().origin());
    let stack = CacheLayer::new(&keep).layer(inner);
    let response = send(&stack, as_user("alice", get(PATH))).await;
    assert_eq!((response.status, detail(&response)), (200, None));
    assert_eq!(
        log.count("put the WriteBehindLayer outside the CacheLayer"),
        1
    );
}

#[cfg(feature = "redis")]
mod redis {
    use std::{
        future::pending,
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use tokio_util::task::AbortOnDropHandle;
    use tower_keep::write_behind::WriteBehindWorker;

    use super::*;
    use crate::{common::keeps::redis_keep, support::RedisServer};

    /// Each read that begins after a 202 shows the write, exactly once, at every process, whether it is
    /// pending, being applied, or applied a moment ago.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_process_shows_each_accepted_write_exactly_once() {
        const WRITES: u64 = 60;
        let server = RedisServer::start();
        let database = Database::default();
        let keeps = [
            redis_keep(server.url(), table(PendingMode::Prepend)).await,
            redis_keep(server.url(), table(PendingMode::Prepend)).await,
        ];
        let stacks = keeps.each_ref().map(|keep| stack(keep, &database.origin()));
        let _workers = keeps.each_ref().map(|keep| {
            // A new server hands out nothing for as long as a lease.
            let worker = WriteBehindWorker::new(keep, database.origin())
                .request_body::<Full<Bytes>>()
                .lease(Duration::from_secs(1));
            AbortOnDropHandle::new(tokio::spawn(worker.run(pending())))
        });
        let accepted = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = stacks
            .iter()
            .cloned()
            .map(|stack| {
                let accepted = Arc::clone(&accepted);
                tokio::spawn(async move {
                    let mut reads = 0;
                    loop {
                        let known = accepted.load(Ordering::SeqCst);
                        let mut shown = read_ids(&stack).await;
                        shown.sort_unstable();
                        let expected: Vec<_> = (1..=known).collect();
                        assert!(shown.starts_with(&expected), "{shown:?}, not 1 to {known}");
                        assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
                        reads += 1;
                        if known == WRITES {
                            return reads;
                        }
                    }
                })
            })
            .collect();
        for id in 1..=WRITES {
            let stack = &stacks[usize::try_from(id % 2).expect("small")];
            accepted_id(&send(stack, post(id)).await);
            accepted.store(id, Ordering::SeqCst);
        }
        for reader in readers {
            assert!(reader.await.expect("no panic") > 0);
        }
        until("the last write", || async {
            (kit::waiting(&keeps[0]).await == 0).then_some(())
        })
        .await;
        let all: Vec<_> = (1..=WRITES).rev().collect();
        assert_eq!(database.ids(), all);
        for stack in &stacks {
            assert_eq!(read_ids(stack).await, all);
        }
    }

    #[tokio::test]
    async fn without_redis_a_read_is_the_response_of_the_service() {
        let mut server = RedisServer::start();
        let keep = redis_keep(server.url(), table(PendingMode::Prepend)).await;
        let origin = Database::default().origin();
        let stack = stack(&keep, &origin);
        read(&stack).await;
        accepted_id(&send(&stack, post(1)).await);
        assert_eq!(read_ids(&stack).await, [1]);
        assert_eq!(origin.calls(), 1);
        server.kill();
        for calls in 2..4 {
            let response = read(&stack).await;
            assert_eq!((response.status, response.body.as_str()), (200, "[]"));
            assert_eq!(detail(&response), Some("pending-unknown"));
            assert_eq!(response.headers["cache-control"], "no-store");
            assert_eq!(origin.calls(), calls, "not from the cache");
        }
    }
}
