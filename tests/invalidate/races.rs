//! Reads that began before a write and end after it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::FutureExt;
use tower::ServiceExt;
use tower_keep::{Keep, Key, Route, Scope, Table, keep::Invalidation};

use super::kit::{Gate, Origin, Stack, get, ok, put, send, stack};

fn keep() -> Keep {
    let route = Route::new("/engagements/{id}").key("engagement:{id}");
    Keep::new(Table::new().route(route.scope(Scope::Public))).expect("a valid table")
}

/// A database of one number, which every PUT counts up. A GET of `?slow` reads it, then waits.
fn database(gate: &Gate) -> Origin {
    let (gate, version) = (gate.clone(), Arc::new(AtomicU64::new(1)));
    Origin::of(move |parts, _| {
        let (gate, version) = (gate.clone(), Arc::clone(&version));
        async move {
            if parts.method == "PUT" {
                return ok(version.fetch_add(1, Ordering::SeqCst).to_string());
            }
            let read = version.load(Ordering::SeqCst);
            if parts.headers.contains_key("slow") {
                gate.pass().await;
            }
            ok(read.to_string())
        }
    })
}

fn slow_get() -> http::Request<http_body_util::Full<bytes::Bytes>> {
    super::kit::request("GET", "/engagements/1", &[("slow", "1")])
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
async fn a_fill_that_began_before_the_write_is_not_used_after_it() {
    // The guide's cache: GET reads the old, PUT writes and deletes the key, GET stores the old,
    // and everybody reads it for the rest of the TTL.
    let (keep, gate) = (keep(), Gate::new());
    let service = stack(&keep, &database(&gate));
    for version in 1..200 {
        let fill = tokio::spawn(read_slowly(service.clone()));
        gate.reached().await;
        send(&service, put("/engagements/1")).await;
        gate.open();
        assert_eq!(
            fill.await.expect("a read"),
            version,
            "it began before the write"
        );
        assert_eq!(read(&service).await, version + 1);
        // Empty again, for the next fill.
        keep.invalidate([Invalidation::everything()])
            .await
            .expect("invalidated");
    }
}

#[tokio::test]
async fn a_reader_who_joins_an_older_fill_after_the_write_does_not_get_its_answer() {
    let (keep, gate) = (keep(), Gate::new());
    let service = stack(&keep, &database(&gate));
    for version in 1..200 {
        let leader = tokio::spawn(read_slowly(service.clone()));
        gate.reached().await;
        let before = tokio::spawn(read_slowly(service.clone()));
        tokio::task::yield_now().await;
        send(&service, put("/engagements/1")).await;
        let mut after = Box::pin(read(&service));
        assert!(
            after.as_mut().now_or_never().is_none(),
            "it waits for the leader"
        );
        // Two: whoever waited may have to ask for itself.
        gate.open();
        gate.open();
        assert_eq!(leader.await.expect("a read"), version);
        assert!(before.await.expect("a read") >= version);
        assert_eq!(after.await, version + 1, "it began after the write");
        keep.invalidate([Invalidation::everything()])
            .await
            .expect("invalidated");
        gate.drain();
    }
}

#[tokio::test]
async fn a_value_made_before_the_write_is_not_used_after_it() {
    let (keep, gate) = (keep(), Gate::new());
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
        gate.reached().await;
        let commit = async { Ok::<_, std::io::Error>(version.fetch_add(1, Ordering::SeqCst)) };
        keep.write([Invalidation::key(&key)], commit)
            .await
            .expect("written");
        gate.open();
        assert_eq!(make.await.expect("made"), written - 1);
        assert_eq!(keep.get::<u64>(&key).await.expect("a number"), None);
    }
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_when_the_write_happens_is_not_stored() {
    // The head has come, the body is still coming.
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    let gate = Gate::new();
    let slow = gate.clone();
    let origin = Origin::of(move |parts, call| {
        let gate = slow.clone();
        async move {
            if parts.method == "PUT" || call > 1 {
                return ok(format!("call {call}"));
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
    let answer = service
        .clone()
        .oneshot(get("/engagements/1"))
        .await
        .expect("an answer");
    gate.reached().await;
    send(&service, put("/engagements/1")).await;
    gate.open();
    let body = answer
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(body, "old");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}
