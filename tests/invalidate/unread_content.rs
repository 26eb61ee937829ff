//! Writes that fail before the inner service has the whole content.

use std::{panic::AssertUnwindSafe, pin::pin, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::time::timeout;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{CacheLayer, InvalidateLayer, Keep, Route, Scope, Table};

use crate::common::{client::send, keeps::new_keep};

type Error = &'static str;
type App = BoxCloneSyncService<Request<Body>, Response<Body>, Error>;

fn keep(change: impl Fn(Route) -> Route) -> Keep {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    let write = public("/engagements/{id}", "engagement:{id}").invalidates(["engagements"]);
    let table = Table::new()
        .route(public("/engagements", "engagements"))
        .route(change(write));
    new_keep(table)
}

/// What a write reads before it ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
    Nothing,
    /// Everything, for at most a second.
    InTime,
    /// The first chunk.
    Chunk,
    /// Chunks, until the body says that it has ended.
    Announced,
}

/// A service whose writes end as `end` says.
async fn handle(
    (read, end): (Read, &'static str),
    request: Request<Body>,
) -> Result<Response<Body>, Error> {
    if request.method() == "GET" {
        return Ok(Response::new(Body::empty()));
    }
    let mut body = request.into_body();
    match read {
        Read::Nothing => {}
        Read::InTime => drop(timeout(Duration::from_secs(1), body.collect()).await),
        Read::Chunk => drop(body.frame().await),
        Read::Announced => {
            while !body.is_end_stream() {
                body.frame().await.expect("a frame").expect("no error");
            }
        }
    }
    let response = |status| Response::builder().status(status).body(Body::empty());
    match end {
        "error" => Err("it failed"),
        "panic" => panic!("it failed"),
        status => Ok(response(status).expect("a response")),
    }
}

fn app(keep: &Keep, read: Read, end: &'static str) -> App {
    let inner = tower::service_fn(move |request| handle((read, end), request));
    let layers = (InvalidateLayer::new(keep), CacheLayer::new(keep));
    let service = layers.layer(inner);
    BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)))
}

const CHUNK: Bytes = Bytes::from_static(b"0123456789");

/// The content arrives in two chunks, of unknown length.
fn chunks() -> Body {
    let chunks = [CHUNK, CHUNK].map(|chunk| Ok::<_, Error>(http_body::Frame::data(chunk)));
    Body::new(StreamBody::new(stream::iter(chunks)))
}

/// After the first chunk, nothing comes.
fn stalling() -> Body {
    let chunk = stream::iter([Ok::<_, Error>(http_body::Frame::data(CHUNK))]);
    Body::new(StreamBody::new(chunk.chain(stream::pending())))
}

/// Which of the target and the route's `invalidates` are hits.
async fn hits(app: &App) -> [bool; 2] {
    let mut hits = [false; 2];
    for (hit, path) in hits.iter_mut().zip(["/engagements/1", "/engagements"]) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        *hit = send(app, request).await.cache_status().contains("; hit");
    }
    hits
}

/// What is still stored after a write with this content.
async fn left_after(keep: &Keep, (read, end): (Read, &'static str), content: Body) -> [bool; 2] {
    let app = app(keep, read, end);
    hits(&app).await;
    let request = Request::put("/engagements/1").body(content);
    let write = app.clone().oneshot(request.expect("a request"));
    drop(pin!(AssertUnwindSafe(write).catch_unwind()).await);
    hits(&app).await
}

const FAILURES: [&str; 4] = ["503", "504", "error", "panic"];

/// Anybody could otherwise invalidate what the route names, by sending nothing.
#[tokio::test(start_paused = true)]
async fn a_write_that_fails_before_the_end_of_its_content_invalidates_the_target_alone() {
    for end in FAILURES {
        for (read, content) in [
            (Read::InTime, stalling()),
            (Read::Nothing, stalling()),
            (Read::Nothing, chunks()),
            (Read::Nothing, Body::new(Full::new(CHUNK))),
            (Read::Chunk, chunks()),
        ] {
            let left = left_after(&keep(|route| route), (read, end), content).await;
            assert_eq!(left, [false, true], "{read:?} {end}");
        }
    }
}

#[tokio::test]
async fn a_write_that_fails_after_the_end_of_its_content_invalidates_everything_it_names() {
    for end in FAILURES {
        for (read, content) in [
            (Read::InTime, chunks()),
            (Read::InTime, Body::empty()),
            (Read::Nothing, Body::empty()),
            // A body that knows its length need not be asked for a frame after the last.
            (Read::Announced, Body::new(Full::new(CHUNK))),
            (Read::Chunk, Body::new(Full::new(CHUNK))),
        ] {
            let left = left_after(&keep(|route| route), (read, end), content).await;
            assert_eq!(left, [false; 2], "{read:?} {end}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_end_of_the_content_may_leave_a_partial_write() {
    for end in FAILURES {
        for (read, content) in [(Read::InTime, stalling()), (Read::Nothing, chunks())] {
            let keep = keep(|route| route.partial_writes(true));
            let left = left_after(&keep, (read, end), content).await;
            assert_eq!(left, [false; 2], "{read:?} {end}");
        }
    }
}

/// A response that is not an error says what was done, whatever was read.
#[tokio::test]
async fn a_write_that_succeeds_without_its_content_invalidates_everything_it_names() {
    for (end, expected) in [
        ("204", [false; 2]),
        ("302", [false, true]),
        ("404", [true; 2]),
    ] {
        let left = left_after(&keep(|route| route), (Read::Nothing, end), chunks()).await;
        assert_eq!(left, expected, "{end}");
    }
}

/// The declaration of such a write is closed at once: nothing stays uncacheable.
#[tokio::test(start_paused = true)]
async fn a_declared_write_that_fails_before_the_end_of_its_content_is_closed_at_once() {
    for end in FAILURES {
        let keep = keep(|route| route.before(true).max_body(5));
        left_after(&keep, (Read::InTime, end), stalling()).await;
        let app = app(&keep, Read::Nothing, end);
        assert_eq!(hits(&app).await, [true; 2], "{end}");
    }
}
