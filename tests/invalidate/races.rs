//! Reads that begin before a write and end after it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::FutureExt;
use tower::ServiceExt;
use tower_keep::{Keep, Key, Route, Scope, Table, keep::Invalidation};

use super::stack::{Stack, stack};
use crate::common::{
    client::{get, put, request, send},
    keeps::new_keep,
    origin::{Gate, Origin, ok_text},
};

fn keep() -> Keep {
    let route = Route::new("/engagements/{id}").key("engagement:{id}");
    new_keep(Table::new().route(route.scope(Scope::Public)))
}

/// A database of one number, which each PUT increments. A slow GET reads it, then waits at the gate.
fn database(gate: &Gate) -> Origin {
    let (gate, version) = (gate.clone(), Arc::new(AtomicU64::new(1)));
    Origin::from_fn(move |request, _| {
        let (gate, version) = (gate.clone(), Arc::clone(&version));
        async move {
            if request.method() == "PUT" {
                return ok_text(version.fetch_add(1, Ordering::SeqCst).to_string());
            }
            let read = version.load(Ordering::SeqCst);
            if request.headers().contains_key("slow") {
                gate.pass().await;
            }
            ok_text(read.to_string())
        }
    })
}

fn slow_get() -> http::Request<http_body_util::Full<bytes::Bytes>> {
    request("GET", "/engagements/1", &[("slow", "1")])
}

async fn read(service: &Stack) -> u64 {
    send(service, get("/engagements/1"))
        .await
        .body
        .parse()
        .expect("a number")
}

async fn read_slowly(service: Stack) -> u64 {
    send(&service, slow_get())
        .await
        .body
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn a_fill_begun_before_a_write_is_not_used_after_it() {
    // The guide's cache: GET reads the old, PUT writes and deletes the key, GET stores the old,
    // and all clients read that for the rest of the TTL.
    let (keep, gate) = (keep(), Gate::closed());
    let service = stack(&keep, &database(&gate));
    for version in 1..200 {
        let fill = tokio::spawn(read_slowly(service.clone()));
        gate.arrival().await;
        send(&service, put("/engagements/1")).await;
        gate.admit(1);
        assert_eq!(
            fill.await.expect("a read"),
            version,
            "the read began before the write"
        );
        assert_eq!(read(&service).await, version + 1);
        // Closed again for the next fill.
        keep.invalidate([Invalidation::everything()])
            .await
            .expect("invalidated");
    }
}

#[tokio::test]
async fn a_request_after_a_write_does_not_join_an_older_fill() {
    let (keep, gate) = (keep(), Gate::closed());
    let service = stack(&keep, &database(&gate));
    for version in 1..200 {
        let leader = tokio::spawn(read_slowly(service.clone()));
        gate.arrival().await;
        let before = tokio::spawn(read_slowly(service.clone()));
        tokio::task::yield_now().await;
        send(&service, put("/engagements/1")).await;
        let mut after = Box::pin(read(&service));
        assert!(
            after.as_mut().now_or_never().is_none(),
            "the follower waits for the leader"
        );
        // Two: a follower may have to call the origin itself.
        gate.admit(1);
        gate.admit(1);
        assert_eq!(leader.await.expect("a read"), version);
        assert!(before.await.expect("a read") >= version);
        assert_eq!(after.await, version + 1, "the read began after the write");
        keep.invalidate([Invalidation::everything()])
            .await
            .expect("invalidated");
        gate.reset();
    }
}

#[tokio::test]
async fn a_value_made_before_a_write_is_not_used_after_it() {
    let (keep, gate) = (keep(), Gate::closed());
    let key = Key::new("engagement").id(1);
    let version = Arc::new(AtomicU64::new(1));
    for written in 2..100 {
        let make = {
            let (keep, key, gate) = (keep.clone(), key.clone(), gate.clone());
            let version = Arc::clone(&version);
            async move {
                let read = || async {
                    let read = version.load(Ordering::SeqCst);
                    gate.pass().await;
                    Ok::<_, std::io::Error>(read)
                };
                keep.get_or_set(&key, read).await.expect("made")
            }
        };
        let make = tokio::spawn(make);
        gate.arrival().await;
        let commit = async { Ok::<_, std::io::Error>(version.fetch_add(1, Ordering::SeqCst)) };
        keep.write([Invalidation::key(&key)], commit)
            .await
            .expect("written");
        gate.admit(1);
        assert_eq!(make.await.expect("made"), written - 1);
        assert_eq!(keep.get::<u64>(&key).await.expect("a number"), None);
    }
}

#[tokio::test]
async fn a_response_under_way_during_a_write_is_not_stored() {
    // The head has arrived, the body has not.
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    let gate = Gate::closed();
    let slow = gate.clone();
    let origin = Origin::from_fn(move |request, call| {
        let gate = slow.clone();
        async move {
            if request.method() == "PUT" || call > 1 {
                return ok_text(format!("call {call}"));
            }
            let late = async move {
                gate.pass().await;
                Ok(http_body::Frame::data(bytes::Bytes::from_static(b"old")))
            };
            let body = StreamBody::new(futures_util::stream::once(late).boxed());
            Ok(http::Response::new(body.boxed_unsync()))
        }
    });
    let keep = keep();
    let service = stack(&keep, &origin);
    let response = service
        .clone()
        .oneshot(get("/engagements/1"))
        .await
        .expect("a response");
    gate.arrival().await;
    send(&service, put("/engagements/1")).await;
    gate.admit(1);
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "old");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}
