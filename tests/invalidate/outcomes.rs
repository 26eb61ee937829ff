//! How writes end, and which outcomes invalidate.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Service, ServiceExt};
use tower_keep::{Keep, Route, Scope, Table};

use super::stack::{hits, stack};
use crate::{
    common::{
        client::{get, put, send},
        keeps::new_keep,
        origin::{Gate, Origin, OriginError, OriginResult, full, ok_text},
    },
    support::until,
};

fn keep() -> Keep {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    new_keep(
        Table::new()
            .route(public("/engagements", "engagements"))
            .route(public("/orgs/{org}", "org:{org}"))
            .route(
                public("/engagements/{id}", "engagement:{id}")
                    .invalidates(["engagements", "org:{answer.org}"]),
            ),
    )
}

const PATHS: [&str; 4] = [
    "/engagements/1",
    "/engagements",
    "/orgs/7",
    "/engagements/2",
];
const NAMED: [bool; 4] = [false, false, false, true];

/// Responds to GET at once, and to PUT with `write`.
fn origin<F>(write: impl Fn() -> F + Send + Sync + 'static) -> Origin
where
    F: Future<Output = OriginResult> + Send + 'static,
{
    let write = Arc::new(write);
    Origin::from_fn(move |request, _| {
        let write = Arc::clone(&write);
        async move {
            if request.method() == "PUT" {
                write().await
            } else {
                ok_text("")
            }
        }
    })
}

/// An origin whose writes wait at the gate.
fn slow(gate: &Gate) -> Origin {
    let gate = gate.clone();
    origin(move || {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            ok_text("")
        }
    })
}

fn with_status(status: u16) -> Origin {
    origin(move || async move {
        let response = Response::builder().status(status);
        Ok(response.body(full("")).expect("a response"))
    })
}

#[tokio::test]
async fn a_refused_write_invalidates_nothing() {
    for status in [400, 404, 409, 412, 429] {
        let keep = keep();
        let service = stack(&keep, &with_status(status));
        hits(&service, &PATHS).await;
        assert_eq!(send(&service, put("/engagements/1")).await.status, status);
        assert_eq!(hits(&service, &PATHS).await, [true; 4], "{status}");
    }
}

#[tokio::test]
async fn a_write_that_may_have_happened_invalidates() {
    for status in [500, 502, 503, 504] {
        let keep = keep();
        let service = stack(&keep, &with_status(status));
        hits(&service, &PATHS).await;
        assert_eq!(send(&service, put("/engagements/1")).await.status, status);
        assert_eq!(hits(&service, &PATHS).await, NAMED, "{status}");
    }
}

#[tokio::test]
async fn without_a_route_an_error_invalidates_nothing() {
    // RFC 9111 section 4.4 knows of non-error responses only.
    let keep = new_keep(Table::new());
    let fails = Origin::with_head(|parts| match parts.method.as_str() {
        "GET" => Response::builder().header("cache-control", "max-age=60"),
        _ => Response::builder().status(500),
    });
    let service = stack(&keep, &fails);
    hits(&service, &["/a"]).await;
    assert_eq!(send(&service, put("/a")).await.status, 500);
    assert_eq!(hits(&service, &["/a"]).await, [true]);
}

#[tokio::test]
async fn a_redirection_invalidates() {
    let keep = keep();
    let service = stack(&keep, &with_status(303));
    hits(&service, &PATHS).await;
    send(&service, put("/engagements/1")).await;
    assert_eq!(hits(&service, &PATHS).await, NAMED);
}

#[tokio::test]
async fn an_error_of_the_inner_service_is_passed_on_unchanged() {
    let keep = keep();
    let service = stack(
        &keep,
        &origin(|| async { Err(OriginError("commit, then failure")) }),
    );
    hits(&service, &PATHS).await;
    let error = service
        .clone()
        .oneshot(put("/engagements/1"))
        .await
        .expect_err("its error");
    assert_eq!(error.to_string(), "commit, then failure");
    assert_eq!(hits(&service, &PATHS).await, NAMED);
}

#[tokio::test]
async fn a_panic_of_the_inner_service_reaches_the_caller() {
    let keep = keep();
    let service = stack(&keep, &origin(|| async { panic!("after the commit") }));
    hits(&service, &PATHS).await;
    let request = AssertUnwindSafe(service.clone().oneshot(put("/engagements/1")));
    let panic = request.catch_unwind().await.expect_err("a panic");
    assert_eq!(panic.downcast_ref(), Some(&"after the commit"));
    assert_eq!(hits(&service, &PATHS).await, NAMED);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_commit_does_not_cancel_the_invalidation() {
    let keep = keep();
    let (committed, gate) = (Arc::new(AtomicU64::new(0)), Gate::closed());
    let database = (Arc::clone(&committed), gate.clone());
    let service = stack(
        &keep,
        &origin(move || {
            let (committed, gate) = database.clone();
            async move {
                committed.fetch_add(1, Ordering::SeqCst);
                gate.pass().await;
                ok_text("")
            }
        }),
    );
    hits(&service, &PATHS).await;
    let mut response = Box::pin(service.clone().oneshot(put("/engagements/1")));
    assert!(response.as_mut().now_or_never().is_none());
    gate.arrival().await;
    assert_eq!(committed.load(Ordering::SeqCst), 1);
    drop(response);

    let mut heard = keep.invalidations();
    gate.admit(1);
    let told = tokio::time::timeout(Duration::from_secs(20), heard.next()).await;
    assert!(
        matches!(told, Ok(Some(_))),
        "the write was not seen to its end"
    );
    assert_eq!(hits(&service, &PATHS).await, NAMED);
}

#[test]
fn a_write_cancelled_by_the_end_of_its_runtime_invalidates() {
    let keep = keep();
    let gate = Gate::closed();
    let service = stack(&keep, &slow(&gate));
    let reader = tokio::runtime::Runtime::new().expect("a runtime");
    reader.block_on(hits(&service, &PATHS));
    let writer = tokio::runtime::Runtime::new().expect("a runtime");
    writer.spawn(service.clone().oneshot(put("/engagements/1")));
    reader.block_on(gate.arrival());
    assert_eq!(
        reader.block_on(hits(&service, &PATHS)),
        [true; 4],
        "the write has not been committed"
    );
    drop(writer);
    assert_eq!(reader.block_on(hits(&service, &PATHS)), NAMED);
}

#[tokio::test]
async fn the_response_waits_for_the_invalidation() {
    let keep = keep();
    let service = stack(&keep, &with_status(200));
    let mut heard = keep.invalidations();
    service
        .clone()
        .oneshot(put("/engagements/1"))
        .await
        .expect("a response");
    let told = heard
        .next()
        .now_or_never()
        .flatten()
        .expect("an event before the response");
    assert!(!told.is_soft());
}

#[tokio::test]
async fn the_inner_service_runs_within_the_callers_span() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let inside = Arc::clone(&seen);
    let service = stack(
        &keep(),
        &origin(move || {
            *inside.lock().expect("whole") = tracing::Span::current().metadata().map(|m| m.name());
            async { ok_text("") }
        }),
    );
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::sink)
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let span = tracing::info_span!("request");
    tracing::Instrument::instrument(send(&service, put("/engagements/1")), span).await;
    assert_eq!(*seen.lock().expect("whole"), Some("request"));
}

#[tokio::test(start_paused = true)]
async fn responses_stored_from_lagging_reads_are_invalidated_again() {
    let public = |path: &str| Route::new(path).key("engagement:{id}").scope(Scope::Public);
    let route = public("/engagements/{id}").settle(Duration::from_secs(1));
    let keep = new_keep(Table::new().route(route));
    let service = stack(&keep, &Origin::with_fields(&[]));
    send(&service, put("/engagements/1")).await;
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        "call 2",
        "of the lagging replica"
    );
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 2");
    until("the second invalidation", || async {
        let seen = send(&service, get("/engagements/1")).await;
        (seen.body == "call 3").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_inner_service_is_not_called_before_the_future_is_polled() {
    let origin = Origin::with_fields(&[]);
    // The service is always ready.
    let mut service = stack(&keep(), &origin);
    drop(service.call(put("/engagements/1")));
    tokio::task::yield_now().await;
    assert_eq!(origin.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stalling_body_delays_neither_the_invalidation_nor_the_response() {
    let keep = keep();
    let (more, rest) = tokio::sync::mpsc::unbounded_channel::<&[u8]>();
    let rest = Arc::new(std::sync::Mutex::new(Some(rest)));
    let service = stack(
        &keep,
        &origin(move || {
            let mut rest = rest.lock().expect("whole").take().expect("one write");
            let pieces = futures_util::stream::poll_fn(move |cx| rest.poll_recv(cx));
            let frames = pieces.map(|piece| Ok(Frame::data(Bytes::from_static(piece))));
            async move {
                Ok(Response::builder()
                    .header("content-type", "application/json")
                    .body(StreamBody::new(frames).boxed_unsync())
                    .expect("a response"))
            }
        }),
    );
    hits(&service, &PATHS).await;
    more.send(b"{\"org\":").expect("it listens");
    let response = service.clone().oneshot(put("/engagements/1"));
    let response = tokio::time::timeout(Duration::from_secs(5), response).await;
    let response = response.expect("it waits no longer").expect("a response");
    assert_eq!(hits(&service, &PATHS).await, NAMED, "any org may be it");
    more.send(b"7}").expect("it listens");
    drop(more);
    let body = response
        .into_body()
        .collect()
        .await
        .expect("the rest of it");
    assert_eq!(body.to_bytes(), "{\"org\":7}");
}

#[tokio::test]
async fn flush_waits_for_writes_whose_clients_have_left() {
    let keep = keep();
    let gate = Gate::closed();
    let service = stack(&keep, &slow(&gate));
    hits(&service, &PATHS).await;
    let mut response = Box::pin(service.clone().oneshot(put("/engagements/1")));
    assert!(response.as_mut().now_or_never().is_none());
    gate.arrival().await;
    drop(response);
    let mut flush = Box::pin(keep.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    gate.admit(1);
    let flushed = tokio::time::timeout(Duration::from_secs(20), flush).await;
    flushed.expect("it comes to its end");
    assert_eq!(hits(&service, &PATHS).await, NAMED);
}
