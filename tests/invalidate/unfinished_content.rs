//! Writes whose content ends early (RFC 9112 section 8), or comes slowly.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};
use tower_keep::{CacheLayer, InvalidateLayer, Keep, Route, Scope, Table, table::Local};

use crate::common::{
    client::{eventually, run_other_tasks, send},
    keeps::new_keep,
};

type Error = &'static str;
type App = BoxCloneSyncService<Request<Body>, Response<Body>, Error>;
type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

fn keep(change: impl Fn(Route) -> Route) -> Keep {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    let write = public("/engagements/{id}", "engagement:{id}").invalidates(["engagements"]);
    let table = Table::new()
        .route(public("/engagements", "engagements"))
        .route(change(write));
    new_keep(table)
}

/// A handler whose writes read their content, and end as `end` says if it fails.
#[derive(Clone)]
struct Handler {
    end: &'static str,
    writes: Arc<AtomicUsize>,
}

impl Handler {
    fn new(end: &'static str) -> Self {
        let writes = Arc::default();
        Self { end, writes }
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    async fn handle(self, request: Request<Body>) -> Result<Response<Body>, Error> {
        if request.method() == "GET" {
            return Ok(Response::new(Body::empty()));
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        let status = match (request.into_body().collect().await, self.end) {
            (Ok(content), _) => {
                let etag = content.trailers().and_then(|trailers| trailers.get("etag"));
                let etag = etag.map_or("none", |etag| etag.to_str().expect("text"));
                let etag = etag.to_owned();
                let content = content.to_bytes();
                let body = format!("{} {} {etag}", content.len(), content.len() < 20);
                return Ok(Response::new(Body::from(body)));
            }
            (Err(_), "error") => return Err("the content ended"),
            (Err(_), "panic") => panic!("the content ended"),
            (Err(_), status) => status,
        };
        let response = Response::builder().status(status).body(Body::empty());
        Ok(response.expect("a response"))
    }
}

fn app(keep: &Keep, handler: &Handler) -> App {
    let handler = handler.clone();
    let inner = tower::service_fn(move |request| handler.clone().handle(request));
    let layers = (InvalidateLayer::new(keep), CacheLayer::new(keep));
    let service = layers.layer(inner);
    BoxCloneSyncService::new(service.map_response(|response| response.map(Body::new)))
}

/// A write whose content is sent through the channel.
fn write() -> (Frames, Request<Body>) {
    let (frames, mut received) = mpsc::unbounded_channel();
    let body = StreamBody::new(stream::poll_fn(move |cx| received.poll_recv(cx)));
    let request = Request::put("/engagements/1").body(Body::new(body));
    (frames, request.expect("a request"))
}

fn data(frames: &Frames, bytes: usize) {
    let frame = Frame::data(Bytes::from(vec![b'x'; bytes]));
    frames.send(Ok(frame)).expect("the content is read");
}

fn fail(frames: Frames) {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    frames.send(Err(reset)).expect("the content is read");
}

const PATHS: [&str; 2] = ["/engagements/1", "/engagements"];

/// Which of the target and the route's `invalidates` are hits.
async fn hits(app: &App) -> [bool; 2] {
    let mut hits = [false; 2];
    for (hit, path) in hits.iter_mut().zip(PATHS) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        *hit = send(app, request).await.cache_status().contains("; hit");
    }
    hits
}

/// Sends one byte of the content, then nothing more.
async fn break_off(app: &App) -> Option<Result<Response<Body>, Error>> {
    let (frames, request) = write();
    data(&frames, 1);
    fail(frames);
    let response = AssertUnwindSafe(app.clone().oneshot(request));
    response.catch_unwind().await.ok()
}

#[tokio::test]
async fn content_that_ends_early_with_an_error_invalidates_the_target_alone() {
    for end in ["500", "502", "error", "panic"] {
        let (keep, handler) = (keep(|route| route), Handler::new(end));
        let app = app(&keep, &handler);
        hits(&app).await;
        break_off(&app).await;
        assert_eq!(handler.writes(), 1);
        assert_eq!(hits(&app).await, [false, true], "{end}");
    }
}

#[tokio::test]
async fn content_that_ends_early_with_another_response_invalidates_by_its_status() {
    for (end, expected) in [
        ("200", [false, false]),
        ("204", [false, false]),
        ("302", [false, true]),
        ("400", [true, true]),
    ] {
        let keep = keep(|route| route);
        let app = app(&keep, &Handler::new(end));
        hits(&app).await;
        break_off(&app).await;
        assert_eq!(hits(&app).await, expected, "{end}");
    }
}

/// Announces a thousand bytes over a connection, sends one, and closes it. Returns what the server
/// has sent until it closes the connection, too.
async fn break_off_connection(app: &App) -> Vec<u8> {
    let service = app
        .clone()
        .map_err(|error| -> Infallible { panic!("{error}") });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = axum::serve(listener, Router::new().fallback_service(service));
    let server = tokio::spawn(server.into_future());
    let mut client = TcpStream::connect(address).await.expect("a connection");
    let request = b"PUT /engagements/1 HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nx";
    client.write_all(request).await.expect("it is sent");
    client.shutdown().await.expect("the end");
    let mut response = Vec::new();
    let end = client.read_to_end(&mut response);
    let end = tokio::time::timeout(Duration::from_secs(20), end).await;
    let _ = end.expect("the server closes the connection");
    server.abort();
    response
}

#[tokio::test]
async fn a_connection_that_breaks_off_invalidates_the_target_alone() {
    let (keep, handler) = (keep(|route| route), Handler::new("500"));
    let app = app(&keep, &handler);
    hits(&app).await;
    break_off_connection(&app).await;
    eventually("the write", || handler.writes() == 1).await;
    keep.flush().await;
    assert_eq!(hits(&app).await, [false, true]);
}

#[tokio::test]
async fn a_connection_that_breaks_off_declares_nothing() {
    let (keep, handler) = (keep(|route| route.before(true)), Handler::new("500"));
    let app = app(&keep, &handler);
    hits(&app).await;
    break_off_connection(&app).await;
    assert_eq!((hits(&app).await, handler.writes()), ([true; 2], 0));
}

/// One byte and nothing more, for as long as a declaration would last.
#[tokio::test]
async fn a_client_that_breaks_off_does_not_make_declared_targets_uncacheable() {
    for is_gone in [false, true] {
        let (keep, handler) = (keep(|route| route.before(true)), Handler::new("500"));
        let app = app(&keep, &handler);
        hits(&app).await;
        let (frames, request) = write();
        data(&frames, 1);
        let response = tokio::spawn(app.clone().oneshot(request));
        run_other_tasks().await;
        assert_eq!(hits(&app).await, [true; 2], "the content is not there yet");
        if is_gone {
            response.abort();
            frames.closed().await;
        } else {
            fail(frames);
            let response = response.await.expect("no panic").expect("a response");
            assert_eq!(response.status(), 400);
        }
        assert_eq!(hits(&app).await, [true; 2]);
        assert_eq!(handler.writes(), 0, "the handler has seen no part of it");
    }
}

/// The declaration covers every reading of an ambiguous path, so its content has to be there as well.
#[tokio::test]
async fn a_client_that_breaks_off_at_an_ambiguous_path_declares_nothing() {
    let (keep, handler) = (keep(|route| route.before(true)), Handler::new("500"));
    let app = app(&keep, &handler);
    hits(&app).await;
    let (frames, mut request) = write();
    *request.uri_mut() = "/x/..%2fengagements/1".parse().expect("a URI");
    data(&frames, 1);
    let response = tokio::spawn(app.clone().oneshot(request));
    run_other_tasks().await;
    assert_eq!(hits(&app).await, [true; 2], "the content is not there yet");
    fail(frames);
    let response = response.await.expect("no panic").expect("a response");
    assert_eq!(response.status(), 400);
    assert_eq!(hits(&app).await, [true; 2]);
    assert_eq!(handler.writes(), 0);
}

#[tokio::test]
async fn the_content_of_a_declared_write_counts_towards_the_fill_buffer() {
    let large = 64 * 1024;
    let table = Table::new().local(Local::new().fill_buffer(large)).route(
        Route::new("/engagements/{id}")
            .key("engagement:{id}")
            .scope(Scope::Public)
            .before(true),
    );
    let (keep, handler) = (new_keep(table), Handler::new("500"));
    let app = app(&keep, &handler);
    let large = usize::try_from(large).expect("small") + 16 * 1024;
    let (frames, request) = write();
    data(&frames, large);
    let held = tokio::spawn(app.clone().oneshot(request));
    run_other_tasks().await;
    let (others, request) = write();
    data(&others, large);
    drop(others);
    let refused = app.clone().oneshot(request).await.expect("a response");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(frames);
    let response = held.await.expect("no panic").expect("a response");
    assert_eq!(response.status(), 200);
    assert_eq!(handler.writes(), 1);
}

#[tokio::test]
async fn a_declared_write_gets_its_whole_content() {
    let keep = keep(|route| route.before(true));
    let app = app(&keep, &Handler::new("500"));
    hits(&app).await;
    let (frames, request) = write();
    data(&frames, 3);
    data(&frames, 4);
    let etag = HeaderMap::from_iter([(http::header::ETAG, "\"a\"".parse().expect("a value"))]);
    frames.send(Ok(Frame::trailers(etag))).expect("it is read");
    drop(frames);
    assert_eq!(send(&app, request).await.body, "7 true \"a\"");
    assert_eq!(hits(&app).await, [false; 2]);
}

/// More content than is kept in memory is declared when so much is there.
#[tokio::test]
async fn a_declared_write_with_long_content_is_declared_before_its_end() {
    let (keep, handler) = (
        keep(|route| route.before(true).max_body(10)),
        Handler::new("500"),
    );
    let app = app(&keep, &handler);
    hits(&app).await;
    let (frames, request) = write();
    data(&frames, 10);
    let response = tokio::spawn(app.clone().oneshot(request));
    run_other_tasks().await;
    assert_eq!((hits(&app).await, handler.writes()), ([true; 2], 0));
    data(&frames, 10);
    run_other_tasks().await;
    assert_eq!((hits(&app).await, handler.writes()), ([false; 2], 1));
    assert_eq!(hits(&app).await, [false; 2], "nothing is stored meanwhile");
    data(&frames, 1);
    drop(frames);
    let response = response.await.expect("no panic").expect("a response");
    let body = response.into_body().collect().await.expect("a body");
    assert_eq!(body.to_bytes(), "21 false none");
    assert_eq!(hits(&app).await, [false; 2]);
    assert_eq!(hits(&app).await, [true; 2], "the write has ended");
}

/// Nothing else would end it in a process without a shared store.
#[tokio::test(start_paused = true)]
async fn a_declaration_ends_with_its_lease_although_the_content_stalls() {
    let keep = keep(|route| route.before(true).max_body(10));
    let app = app(&keep, &Handler::new("500"));
    let (frames, request) = write();
    data(&frames, 20);
    let response = tokio::spawn(app.clone().oneshot(request));
    run_other_tasks().await;
    hits(&app).await;
    assert_eq!(hits(&app).await, [false; 2], "it is declared");
    tokio::time::sleep(Duration::from_secs(61)).await;
    hits(&app).await;
    assert_eq!(hits(&app).await, [true; 2], "the lease has ended");
    data(&frames, 1);
    drop(frames);
    let response = response.await.expect("no panic").expect("a response");
    assert_eq!(response.status(), 200);
    assert_eq!(hits(&app).await, [false; 2], "the write ends later");
    assert_eq!(hits(&app).await, [true; 2]);
}

/// The write cannot be committed later, so that its declaration is closed.
#[tokio::test]
async fn a_declared_write_whose_long_content_ends_early_is_closed_at_once() {
    for end in ["500", "error", "panic"] {
        let keep = keep(|route| route.before(true).max_body(10));
        let app = app(&keep, &Handler::new(end));
        hits(&app).await;
        let (frames, request) = write();
        data(&frames, 20);
        fail(frames);
        let response = AssertUnwindSafe(app.clone().oneshot(request));
        drop(response.catch_unwind().await);
        assert_eq!(hits(&app).await, [false; 2], "{end}");
        assert_eq!(hits(&app).await, [true; 2], "{end}: it is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_does_not_come_is_not_waited_for() {
    let (keep, handler) = (keep(|route| route.before(true)), Handler::new("500"));
    let app = app(&keep, &handler);
    let (frames, request) = write();
    data(&frames, 1);
    let response = tokio::time::timeout(Duration::from_secs(61), app.oneshot(request));
    let response = response.await.expect("in time").expect("a response");
    assert_eq!((response.status().as_u16(), handler.writes()), (408, 0));
}
