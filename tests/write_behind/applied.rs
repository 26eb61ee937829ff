//! Accepted writes and a worker in the same process.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use tokio::{task::AbortHandle, time::timeout};
use tower::{Layer, ServiceBuilder};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Route, Scope, Table, WriteBehindLayer,
    table::{Behind, Write},
    write_behind::{WriteBehindWorker, WriteState},
};

use super::kit::{accepted_id, json, post, volatile_keep, write};
use crate::{
    common::{
        client::{as_user, get, send},
        keeps::new_keep,
        origin::{Gate, Origin, full, response},
    },
    support::wait::until,
};

/// Applies the writes of a keep until it is dropped.
pub(super) struct Worker(AbortHandle);

impl Worker {
    pub(super) fn start(keep: &Keep, origin: &Origin) -> Self {
        let worker = WriteBehindWorker::new(keep, origin.clone()).request_body::<Full<Bytes>>();
        // For so long a Redis that has just been started hands out nothing.
        let worker = worker.lease(Duration::from_secs(1));
        Self(tokio::spawn(worker.run(pending())).abort_handle())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn a_client_that_waits_gets_the_answer_of_the_service() {
    let keep = volatile_keep();
    let origin = Origin::new(|parts, _| {
        let user = parts.extensions.get().map(tower_keep::UserId::as_str);
        assert_eq!(
            (parts.uri.path(), user),
            ("/agents/7/activity", Some("alice"))
        );
        response(201, &[("x-service", "yes")], "created")
    });
    let _worker = Worker::start(&keep, &origin);
    let service = WriteBehindLayer::new(&keep).layer(origin.clone());
    let fields = [("prefer", "wait=20"), ("idempotency-key", "\"1\"")];
    let post = || as_user("alice", write("POST", "/agents/7/activity", &fields, "{}"));
    for _ in 0..2 {
        let answer = send(&service, post()).await;
        assert_eq!((answer.status, &*answer.body), (201, "created"));
        assert_eq!(answer.headers["x-service"], "yes");
        assert_eq!(answer.headers["preference-applied"], "wait=20");
    }
    assert_eq!(origin.calls(), 1);
}

#[tokio::test]
async fn the_status_of_an_applied_write_has_the_answer() {
    let keep = volatile_keep();
    let origin = Origin::new(|_, _| response(201, &[], "created"));
    let service = WriteBehindLayer::new(&keep).layer(origin.clone());
    let id = accepted_id(&send(&service, post("{}")).await);
    let _worker = Worker::start(&keep, &origin);
    let path = format!("/writes/{id}");
    let status = until("the end of the write", || async {
        let status = json(&send(&service, get(&path)).await);
        (status["state"] == "done").then_some(status)
    });
    let status = status.await;
    assert_eq!(status["response"]["status"], 201);
    assert_eq!(status["response"]["body"], "created");
    assert_eq!(status["attempts"], 1);
}

#[tokio::test]
async fn flush_waits_until_what_is_queued_in_memory_has_been_applied() {
    let keep = volatile_keep();
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, |_, _| Ok(http::Response::new(full("done"))));
    let service = WriteBehindLayer::new(&keep).layer(origin.clone());
    for _ in 0..3 {
        accepted_id(&send(&service, post("{}")).await);
    }
    let _worker = Worker::start(&keep, &origin);
    gate.arrival().await;
    let early = timeout(Duration::from_millis(50), keep.flush()).await;
    assert!(early.is_err(), "a write is in flight");
    gate.open();
    timeout(Duration::from_secs(20), keep.flush())
        .await
        .expect("all writes end");
    assert_eq!(origin.calls(), 3);
    assert_eq!(keep.queue().counts().await.expect("counts").waiting, 0);
}

#[tokio::test]
async fn a_write_invalidates_what_it_has_changed_once_it_is_applied() {
    let table = Table::new()
        .behind(Behind::new().volatile(true))
        .route(
            Route::new("/agents/{id}")
                .key("agent:{id}")
                .scope(Scope::Public)
                .invalidates(["agents"])
                .write(Write::Behind),
        )
        .route(Route::new("/agents").key("agents").scope(Scope::Public));
    let keep = new_keep(table);
    let origin = Origin::with_fields(&[]);
    let below = ServiceBuilder::new()
        .layer(InvalidateLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(origin.clone());
    let service = WriteBehindLayer::new(&keep).layer(below.clone());
    let body = async |path: &str| send(&service, get(path)).await.body;
    for _ in 0..2 {
        assert_eq!(body("/agents").await, "call 1");
    }
    let id = accepted_id(&send(&service, write("PUT", "/agents/7", &[], "{}")).await);
    assert_eq!(body("/agents").await, "call 1", "it has not been applied");

    let worker = WriteBehindWorker::new(&keep, below).request_body::<Full<Bytes>>();
    let worker = Worker(tokio::spawn(worker.run(pending())).abort_handle());
    let id = id.parse().expect("an id");
    until("the end of the write", || async {
        let status = keep.queue().status(id).await.expect("an answer")?;
        (status.state == WriteState::Done).then_some(())
    })
    .await;
    assert_eq!(origin.calls(), 2);
    assert_eq!(body("/agents").await, "call 3");
    drop(worker);
}
