//! gRPC methods, whose status comes in the trailers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::time::{Instant, timeout};
use tower::ServiceExt;
use tower_keep::{
    Keep, Route, Scope, Table,
    table::{Grpc, Unlisted},
};

use super::stack::{hits, stack};
use crate::common::{
    client::{request, send},
    keeps::new_keep,
    origin::{Origin, OriginError, OriginResult, full, ok_text},
};

fn keep() -> Keep {
    new_keep(
        Table::new()
            .unlisted(Unlisted::Pass)
            .route(
                Route::new("/engagements/{id}")
                    .key("engagement:{id}")
                    .scope(Scope::Public),
            )
            .route(
                Route::new("/engagements.Engagements/Rename")
                    .grpc(Grpc::Write)
                    .invalidates(["engagement:*"]),
            )
            .route(
                Route::new("/engagements.Engagements/Read")
                    .grpc(Grpc::Read)
                    .invalidates(["engagement:*"]),
            ),
    )
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(status),
    )])
}

/// A message, then the given end of the body.
fn streamed(end: Option<Result<Frame<Bytes>, OriginError>>) -> OriginResult {
    let message = Ok(Frame::data(Bytes::from_static(b"a message")));
    let frames = [message].into_iter().chain(end).collect::<Vec<_>>();
    Ok(Response::new(
        StreamBody::new(stream::iter(frames)).boxed_unsync(),
    ))
}

fn origin(respond: impl Fn() -> OriginResult + Clone + Send + Sync + 'static) -> Origin {
    Origin::from_fn(move |request, _| {
        let respond = respond.clone();
        async move {
            if request.method() == "POST" {
                respond()
            } else {
                ok_text("")
            }
        }
    })
}

fn rename() -> http::Request<http_body_util::Full<Bytes>> {
    request(
        "POST",
        "/engagements.Engagements/Rename",
        &[("content-type", "application/grpc")],
    )
}

const PATH: [&str; 1] = ["/engagements/1"];

#[tokio::test]
async fn the_grpc_status_in_the_trailers_decides() {
    for (status, written) in [
        ("0", true),
        ("5", false),
        ("9", false),
        ("13", true),
        ("4", true),
    ] {
        let keep = keep();
        let service = stack(
            &keep,
            &origin(move || streamed(Some(Ok(Frame::trailers(trailers(status)))))),
        );
        hits(&service, &PATH).await;
        let response = service.clone().oneshot(rename()).await.expect("a response");
        let body = response.into_body().collect().await.expect("a body");
        assert_eq!(body.trailers().expect("kept")["grpc-status"], status);
        assert_eq!(body.to_bytes(), "a message");
        assert_eq!(hits(&service, &PATH).await, [!written], "{status}");
    }
}

#[tokio::test]
async fn the_grpc_status_in_the_head_decides() {
    for (status, written) in [("0", true), ("3", false), ("14", true)] {
        let keep = keep();
        let service = stack(
            &keep,
            &origin(move || {
                Ok(Response::builder()
                    .header("grpc-status", status)
                    .body(full(""))
                    .expect("a response"))
            }),
        );
        hits(&service, &PATH).await;
        send(&service, rename()).await;
        assert_eq!(hits(&service, &PATH).await, [!written], "{status}");
    }
}

#[tokio::test]
async fn the_trailers_wait_for_the_invalidation() {
    let keep = keep();
    let mut heard = keep.invalidations();
    let service = stack(
        &keep,
        &origin(|| streamed(Some(Ok(Frame::trailers(trailers("0")))))),
    );
    let response = service.clone().oneshot(rename()).await.expect("a response");
    let mut body = response.into_body();
    let message = body.frame().await.expect("a frame").expect("no error");
    assert!(message.is_data());
    assert!(!body.is_end_stream());
    assert!(
        heard.next().now_or_never().is_none(),
        "nothing is known yet"
    );
    let last = body.frame().await.expect("a frame").expect("no error");
    assert!(last.is_trailers());
    let told = heard.next().now_or_never().flatten();
    assert!(told.is_some(), "an event before the trailers");
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_grpc_body_without_a_status_invalidates() {
    for broken in [false, true] {
        let keep = keep();
        let end = move || broken.then(|| Err(OriginError("reset")));
        let service = stack(&keep, &origin(move || streamed(end())));
        hits(&service, &PATH).await;
        let response = service.clone().oneshot(rename()).await.expect("a response");
        assert_eq!(response.into_body().collect().await.is_err(), broken);
        assert_eq!(hits(&service, &PATH).await, [false]);
    }
}

#[tokio::test]
async fn a_grpc_body_dropped_before_its_end_invalidates() {
    let keep = keep();
    let service = stack(
        &keep,
        &origin(|| streamed(Some(Ok(Frame::trailers(trailers("5")))))),
    );
    hits(&service, &PATH).await;
    let response = service.clone().oneshot(rename()).await.expect("a response");
    assert_eq!(
        hits(&service, &PATH).await,
        [true],
        "the status has not arrived"
    );
    drop(response);
    assert_eq!(hits(&service, &PATH).await, [false]);
}

/// Regression: a client that did not read the response to its write kept the old version in use.
#[tokio::test(start_paused = true)]
async fn a_grpc_body_that_is_not_read_invalidates_after_a_second() {
    let keep = keep();
    let mut heard = keep.invalidations();
    let service = stack(
        &keep,
        &origin(|| streamed(Some(Ok(Frame::trailers(trailers("0")))))),
    );
    hits(&service, &PATH).await;
    let response = service.clone().oneshot(rename()).await.expect("a response");
    let start = Instant::now();
    let late = timeout(Duration::from_secs(60), heard.next()).await;
    assert!(late.expect("it does not wait for the client").is_some());
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!(hits(&service, &PATH).await, [false]);
    // It may have been committed after that.
    assert_eq!(hits(&service, &PATH).await, [true]);
    let body = response.into_body().collect().await.expect("a body");
    assert!(body.trailers().is_some());
    assert_eq!(hits(&service, &PATH).await, [false]);
}

/// A response that has ended has nothing more to invalidate.
#[tokio::test(start_paused = true)]
async fn a_grpc_write_that_is_refused_in_time_invalidates_nothing_later() {
    let keep = keep();
    let service = stack(
        &keep,
        &origin(|| streamed(Some(Ok(Frame::trailers(trailers("5")))))),
    );
    hits(&service, &PATH).await;
    send(&service, rename()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(hits(&service, &PATH).await, [true]);
}

#[tokio::test]
async fn a_grpc_read_invalidates_nothing() {
    let keep = keep();
    let service = stack(
        &keep,
        &origin(|| streamed(Some(Ok(Frame::trailers(trailers("0")))))),
    );
    hits(&service, &PATH).await;
    send(
        &service,
        request("POST", "/engagements.Engagements/Read", &[]),
    )
    .await;
    assert_eq!(hits(&service, &PATH).await, [true]);
}
