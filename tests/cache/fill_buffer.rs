//! `[local] fill_buffer`: the memory of bodies that are being read.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client, server};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::{runtime::Builder, time::Instant};
use tower::{Layer, ServiceExt, service_fn};
use tower_keep::{
    CacheLayer, InvalidateLayer, Keep, Route, Scope, Table, cache::Cache, message::RequestBody,
    table::Local,
};

use crate::common::{
    client::{get, next_chunk, read_text, request, run_other_tasks, send, send_for_head},
    generated_body::GeneratedBody,
    keeps::{engagements, new_keep},
    origin::{Gate, Origin, OriginBody, body_channel, cached, full, ok, ok_text},
};

const MIB: u64 = 1 << 20;
const CHUNK: usize = GeneratedBody::CHUNK;
/// The bytes of each body that do not count.
const UNCOUNTED: u64 = 16 << 10;
/// The bytes of a chunk that count.
const COUNTED: u64 = CHUNK as u64 - UNCOUNTED;

/// Holds the bodies of so many distinct misses without reading them. Returns the bytes that were
/// produced meanwhile.
async fn hold_unread_bodies(number: u64, says_length: bool) -> u64 {
    let produced = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&produced);
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let body = GeneratedBody::new(MIB, says_length, Arc::clone(&counted));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let service = CacheLayer::new(&new_keep(engagements())).layer(handler);
    let mut held = Vec::new();
    for id in 0..number {
        held.push(send_for_head(&service, get(&format!("/engagements/{id}"))).await);
    }
    run_other_tasks().await;
    let before = produced.load(Ordering::Relaxed);
    for response in held {
        let content = response.into_body().collect().await.expect("a body");
        assert_eq!(content.to_bytes().len() as u64, MIB);
    }
    before
}

#[test]
fn unread_bodies_of_many_misses_take_no_more_memory_than_the_fill_buffer() {
    const REQUESTS: u64 = 300;
    for says_length in [true, false] {
        let runtime = Builder::new_current_thread().enable_all().build();
        let mut produced = 0;
        let info = measure(|| {
            let runtime = runtime.expect("a runtime");
            produced = runtime.block_on(hold_unread_bodies(REQUESTS, says_length));
        });
        // As much as the buffer's 64 MiB hold, and a chunk of each body that found too little room.
        assert!(produced >= 60 * MIB, "{produced} bytes read ahead");
        let most = 64 * MIB + REQUESTS * (CHUNK as u64 + UNCOUNTED);
        assert!(produced <= most, "{produced} bytes read ahead");
        // The local tier holds another 64 MiB.
        let peak = info.bytes_max;
        assert!(peak < 64 * MIB + most + 16 * MIB, "{peak} bytes at a time");
    }
}

/// Regression: clients of HTTP/2 that open no window made the cache hold every response whole.
#[tokio::test]
async fn streams_without_a_window_hold_no_more_than_the_fill_buffer() {
    const STREAMS: u64 = 100;
    const ROOM: u64 = 4 * MIB;
    let produced = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&produced);
    let handler = service_fn(move |_: Request<RequestBody<Incoming>>| {
        let body = GeneratedBody::new(MIB, true, Arc::clone(&counted));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let cache = CacheLayer::new(&new_keep(table(ROOM))).layer(handler);
    let service = cache.map_request(|request: Request<Incoming>| request.map(RequestBody::new));
    let (client, server) = tokio::io::duplex(1 << 16);
    let service = TowerToHyperService::new(service);
    let serving = server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(serving.serve_connection(TokioIo::new(server), service));
    let mut client_builder = client::conn::http2::Builder::new(TokioExecutor::new());
    let handshake = client_builder.initial_stream_window_size(0);
    let handshake = handshake.handshake(TokioIo::new(client)).await;
    let (mut sender, connection) = handshake.expect("a connection");
    tokio::spawn(connection);
    let mut held = Vec::new();
    for id in 0..STREAMS {
        sender.ready().await.expect("ready");
        let uri = format!("http://localhost/engagements/{id}");
        let request = Request::get(uri).body(Empty::<Bytes>::new());
        let response = sender.send_request(request.expect("a request")).await;
        held.push(response.expect("a response"));
    }
    for _ in 0..10 {
        run_other_tasks().await;
    }
    let produced = produced.load(Ordering::Relaxed);
    assert!(produced >= ROOM, "{produced} bytes read ahead");
    // hyper holds a chunk of each stream as well.
    let most = ROOM + STREAMS * (2 * CHUNK as u64 + UNCOUNTED);
    assert!(produced <= most, "{produced} bytes read ahead");
    let busy = held.iter().filter(|response| {
        response.headers()["cache-status"]
            .to_str()
            .is_ok_and(|status| status.contains("busy"))
    });
    assert!(busy.count() as u64 >= STREAMS / 2);
}

/// Holds hits for so many distinct keys without reading them, while the local tier is too small for
/// their bodies. Returns how many of them were hits.
async fn hold_unread_hits(number: u64) -> usize {
    let produced = Arc::new(AtomicU64::new(0));
    let handler = service_fn(move |_: Request<Full<Bytes>>| {
        let body = GeneratedBody::new(MIB, true, Arc::clone(&produced));
        async move { Ok::<_, Infallible>(Response::new(body)) }
    });
    let local = Local::new().size(8 * MIB).fill_buffer(4 * MIB);
    let service = CacheLayer::new(&new_keep(engagements().local(local))).layer(handler);
    let mut held = Vec::new();
    for id in 0..number {
        let path = format!("/engagements/{id}");
        send(&service, get(&path)).await;
        held.push(send_for_head(&service, get(&path)).await);
    }
    let is_hit = |status: &str| status.starts_with("tower-keep; hit");
    let hits = held.iter().filter(|response| {
        let status = response.headers()["cache-status"].to_str();
        status.is_ok_and(is_hit)
    });
    hits.count()
}

/// Regression: clients that requested one stored body after another and read none held all of them,
/// also those that the local tier had evicted.
#[test]
fn unread_bodies_of_hits_count_once_they_are_evicted() {
    const REQUESTS: u64 = 100;
    let runtime = Builder::new_current_thread().enable_all().build();
    let mut hits = 0;
    let info = measure(|| {
        let runtime = runtime.expect("a runtime");
        hits = runtime.block_on(hold_unread_hits(REQUESTS));
    });
    assert!(hits >= 4, "{hits} hits");
    // The local tier and the buffer, and a chunk of each body that found too little room.
    let most = 12 * MIB + REQUESTS * (CHUNK as u64 + UNCOUNTED);
    let peak = info.bytes_max;
    assert!(peak < most + 8 * MIB, "{peak} bytes at a time");
}

/// Each request that finds a response in Redis alone holds a copy of its own.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn bodies_from_redis_count_until_their_clients_have_taken_them() {
    use crate::{common::keeps::redis_keep, support::RedisServer};
    let server = RedisServer::start();
    let origin = Origin::from_fn(|_, _| async { ok_text(large(b'x')) });
    let local = Local::new().size(0).fill_buffer(COUNTED);
    let keep = redis_keep(server.url(), engagements().local(local)).await;
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/1")).await;
    let unread = send_for_head(&service, get("/engagements/1")).await;
    let status = |response: &Response<_>| {
        let status = response.headers()["cache-status"].to_str();
        status.expect("text").to_owned()
    };
    assert!(status(&unread).starts_with("tower-keep; hit"));
    let other = send_for_head(&service, get("/engagements/1")).await;
    assert_eq!(status(&other), "tower-keep; fwd=uri-miss; detail=busy");
    assert_eq!(origin.calls(), 2);
    drop((unread, other));
    let again = send(&service, get("/engagements/1")).await;
    assert!(again.cache_status().starts_with("tower-keep; hit"));
    assert_eq!(again.body, large_text('x'));
}

/// The bytes that a keep buffers, by its metrics.
struct Buffered {
    snapshotter: Snapshotter,
    sum: Cell<f64>,
}

impl Buffered {
    /// The bytes that count at this moment.
    fn bytes(&self) -> f64 {
        let mut all = self.snapshotter.snapshot().into_vec().into_iter();
        let gauge = all.find(|(key, ..)| key.key().name() == "tower_keep_buffered_bytes");
        // A snapshot has the change since the last one.
        match gauge.expect("it is registered").3 {
            DebugValue::Gauge(change) => self.sum.set(self.sum.get() + change.into_inner()),
            other => panic!("{other:?}"),
        }
        self.sum.get()
    }
}

/// A keep with this buffer, and what it holds.
fn keep_with(fill_buffer: u64) -> (Keep, Buffered) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let table = table(fill_buffer);
    let keep = metrics::with_local_recorder(&recorder, || new_keep(table));
    let sum = Cell::new(0.0);
    (keep, Buffered { snapshotter, sum })
}

fn table(fill_buffer: u64) -> Table {
    let search = Route::new("/search").key("search:{#body}");
    engagements()
        .local(Local::new().fill_buffer(fill_buffer))
        .route(search.scope(Scope::Public).safe_methods("POST"))
}

fn large(byte: u8) -> Bytes {
    vec![byte; CHUNK].into()
}

fn large_text(byte: char) -> String {
    byte.to_string().repeat(CHUNK)
}

#[tokio::test]
async fn bodies_count_until_their_clients_have_taken_them() {
    let (keep, buffered) = keep_with(4 * CHUNK as u64);
    let origin = Origin::from_fn(|_, _| async { ok_text(large(b'x')) });
    let service = cached(&keep, &origin);
    let whole = send_for_head(&service, get("/engagements/1")).await;
    assert_eq!(buffered.bytes(), COUNTED as f64);
    let range = request("GET", "/engagements/2", &[("range", "bytes=0-40000")]);
    let range = send_for_head(&service, range).await;
    assert_eq!(range.status(), 206);
    assert_eq!(buffered.bytes(), 2.0 * COUNTED as f64);
    drop(range);
    let mut body = whole.into_body();
    let chunk = next_chunk(&mut body).await.expect("data");
    assert_eq!(chunk.expect("no error").len(), CHUNK);
    assert_eq!(
        buffered.bytes(),
        COUNTED as f64,
        "a server may hold the last chunk"
    );
    drop(body);
    assert_eq!(buffered.bytes(), 0.0);
    // A hit is in the local tier already.
    let hit = send_for_head(&service, get("/engagements/1")).await;
    assert_eq!(buffered.bytes(), 0.0);
    drop(hit);
}

/// An origin whose first response is a chunk, whose second one has this body, and whose later ones
/// are a chunk each.
fn streaming_second(body: OriginBody) -> Origin {
    let second = Mutex::new(Some(body));
    Origin::from_fn(move |_, call| {
        let streamed = second.lock().expect("no panic").take_if(|_| call == 2);
        async move { Ok(ok(streamed.unwrap_or_else(|| full(large(b'x'))), &[])) }
    })
}

#[tokio::test]
async fn without_room_a_response_is_passed_on_unread_and_not_stored() {
    let (keep, _) = keep_with(COUNTED);
    let (sender, body) = body_channel();
    let service = cached(&keep, &streaming_second(body));
    let _unread = send_for_head(&service, get("/engagements/1")).await;
    let response = send_for_head(&service, get("/engagements/2")).await;
    let status = &response.headers()["cache-status"];
    assert_eq!(status, "tower-keep; fwd=uri-miss; detail=busy");
    assert!(sender.try_data(b"a"), "the channel holds one chunk");
    run_other_tasks().await;
    assert!(!sender.try_data(b"b"), "nobody has read it");
    let reading = tokio::spawn(read_text(response.into_body()));
    sender.data("b").await;
    drop(sender);
    assert_eq!(reading.await.expect("no panic").expect("whole"), "ab");
    let again = send(&service, get("/engagements/2")).await;
    assert_eq!(again.body, large_text('x'));
    assert_eq!(
        again.cache_status(),
        "tower-keep; fwd=uri-miss; detail=busy"
    );
}

#[tokio::test]
async fn small_responses_are_stored_without_room() {
    let (keep, _) = keep_with(1);
    let service = cached(&keep, &Origin::with_fields(&[]));
    send(&service, get("/engagements/1")).await;
    let second = send(&service, get("/engagements/1")).await;
    assert!(second.cache_status().contains("hit"), "{second:?}");
}

#[tokio::test]
async fn requests_that_wait_for_a_response_without_room_are_forwarded_themselves() {
    let (keep, _) = keep_with(1);
    let gate = Gate::closed();
    let origin = Origin::gated(&gate, |_, _| ok_text(large(b'x')));
    let service = cached(&keep, &origin);
    let all: Vec<_> = (0..5)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { send(&service, get("/engagements/1")).await })
        })
        .collect();
    origin.called(1).await;
    run_other_tasks().await;
    assert_eq!(origin.calls(), 1, "the others wait");
    gate.open();
    for response in join_all(all).await {
        assert_eq!(response.expect("no panic").body, large_text('x'));
    }
    assert_eq!(origin.calls(), 5);
}

#[tokio::test]
async fn a_body_that_may_run_out_of_room_is_not_shared_while_it_arrives() {
    // The first chunk has room, but not all that may follow.
    let (keep, buffered) = keep_with(CHUNK as u64);
    let (sender, body) = body_channel();
    let origin = streaming_second(body);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/0")).await;
    let first = send_for_head(&service, get("/engagements/1")).await;
    sender.data(large(b'1')).await;
    run_other_tasks().await;
    assert!(buffered.bytes() > 0.0);
    let second = send(&service, get("/engagements/1")).await;
    assert_eq!(second.body, large_text('x'));
    assert_eq!(origin.calls(), 3);
    let reading = tokio::spawn(read_text(first.into_body()));
    sender.data(large(b'3')).await;
    sender.data(large(b'4')).await;
    drop(sender);
    let whole = reading.await.expect("no panic").expect("whole");
    assert_eq!(whole, ['1', '3', '4'].map(large_text).concat());
    assert_eq!(buffered.bytes(), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_makes_room_and_is_passed_on() {
    let (keep, buffered) = keep_with(4 * CHUNK as u64);
    let (sender, body) = body_channel();
    let origin = streaming_second(body);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/0")).await;
    let mut body = send_for_head(&service, get("/engagements/1"))
        .await
        .into_body();
    sender.data(large(b'1')).await;
    let chunk = next_chunk(&mut body).await.expect("data");
    assert_eq!(chunk.expect("no error").len(), CHUNK);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(buffered.bytes(), COUNTED as f64, "it may be stored");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(buffered.bytes(), 0.0);
    let reading = tokio::spawn(read_text(body));
    sender.data(large(b'2')).await;
    drop(sender);
    let rest = reading.await.expect("no panic").expect("the rest");
    assert_eq!(rest, large_text('2'));
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        large_text('x')
    );
    assert_eq!(origin.calls(), 3, "it was not stored");
}

#[tokio::test(start_paused = true)]
async fn a_small_body_that_stalls_is_stored() {
    let (keep, _) = keep_with(4 * CHUNK as u64);
    let (sender, body) = body_channel();
    let origin = streaming_second(body);
    let service = cached(&keep, &origin);
    send(&service, get("/engagements/0")).await;
    let response = send_for_head(&service, get("/engagements/1")).await;
    sender.data("small ").await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    sender.data("body").await;
    drop(sender);
    let text = read_text(response.into_body()).await.expect("whole");
    assert_eq!(text, "small body");
    assert_eq!(
        send(&service, get("/engagements/1")).await.body,
        "small body"
    );
    assert_eq!(origin.calls(), 2);
}

#[tokio::test]
async fn requests_whose_content_is_needed_are_refused_without_room() {
    let (keep, _) = keep_with(1);
    let origin = Origin::from_fn(|request, _| async move { ok_text(request.into_body()) });
    let service = cached(&keep, &origin);
    for (method, path) in [("POST", "/search"), ("QUERY", "/unlisted")] {
        let with = |content: Bytes| {
            let request = Request::builder().method(method).uri(path);
            request.body(Full::new(content)).expect("a request")
        };
        let refused = send(&service, with(large(b'x'))).await;
        assert_eq!(refused.status, 503, "{method}");
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(refused.headers["content-type"], "application/problem+json");
        assert!(refused.cache_status().contains("detail=busy"));
        assert!(refused.body.contains("temporary-reduced-capacity"));
        let small = send(&service, with(Bytes::from_static(b"small"))).await;
        assert_eq!((small.status, &*small.body), (200, "small"), "{method}");
    }
    assert_eq!(origin.calls(), 2);
    keep.reload(&table(MIB)).expect("a valid table");
    let request = Request::post("/search").body(Full::new(large(b'x')));
    let after = send(&service, request.expect("a request")).await;
    assert_eq!(after.status, 200, "the larger buffer applies at once");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_content_does_not_arrive_is_answered_with_408() {
    let (keep, buffered) = keep_with(MIB);
    let handler = service_fn(|_: Request<UnsyncBoxBody<Bytes, Infallible>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service: Cache<_> = CacheLayer::new(&keep).layer(handler);
    let (start, chunk) = (Instant::now(), Frame::data(large(b'x')));
    let frames = futures_util::stream::iter([Ok::<_, Infallible>(chunk)]);
    let stalled = futures_util::StreamExt::chain(frames, futures_util::stream::pending());
    let request = Request::post("/search").body(StreamBody::new(stalled).boxed_unsync());
    let response = send(&service, request.expect("a request")).await;
    assert_eq!(response.status, 408);
    assert!(response.body.contains("30 seconds"), "{}", response.body);
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(buffered.bytes(), 0.0);
}

/// Responses to writes have a buffer of their own, of the same size: otherwise unread bodies of reads
/// would widen what writes invalidate.
#[tokio::test]
async fn responses_to_writes_are_read_up_to_a_bound_of_their_own() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let route = Route::new("/orders").invalidates("engagement:{answer.id}");
    let table = table(COUNTED + 100).route(route);
    let keep = metrics::with_local_recorder(&recorder, || new_keep(table));
    let sum = Cell::new(0.0);
    let buffered = Buffered { snapshotter, sum };
    let origin = Origin::from_fn(|request, _| async move {
        match request.uri().path() {
            "/orders" => {
                let json = format!(r#"{{"id":1,"text":"{}"}}"#, "x".repeat(CHUNK));
                Ok(ok(full(json), &[("content-type", "application/json")]))
            }
            "/engagements/large" => ok_text(large(b'x')),
            _ => ok_text("small"),
        }
    });
    let reads = cached(&keep, &origin);
    let writes = InvalidateLayer::new(&keep).layer(reads.clone());
    let write = || send_for_head(&writes, request("POST", "/orders", &[]));
    let hits = async || {
        let mut hits = Vec::new();
        for id in [1, 2] {
            let read = send(&reads, get(&format!("/engagements/{id}"))).await;
            hits.push(read.cache_status().contains("hit"));
        }
        hits
    };
    let unread = send_for_head(&reads, get("/engagements/large")).await;
    let before = buffered.bytes();
    hits().await;
    let first = write().await;
    assert!(buffered.bytes() >= before + COUNTED as f64);
    assert_eq!(hits().await, [false, true]);
    let second = write().await;
    assert_eq!(hits().await, [false, false], "its fields are not known");
    for response in [first, second] {
        let content = response.into_body().collect().await.expect("whole");
        assert!(content.to_bytes().len() > CHUNK);
    }
    assert_eq!(buffered.bytes(), before);
    drop((write().await, unread));
    assert_eq!(hits().await, [false, true]);
    assert_eq!(buffered.bytes(), 0.0);
}
