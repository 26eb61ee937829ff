//! Requests for which an outer layer demands a position in the journal: no response that lacks it
//! answers, however the cache has found it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH},
};
use http_body_util::{BodyExt, Full};
use tokio::{pin, sync::Semaphore, time::advance};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{
    CacheLayer, Keep, Route, Table,
    engine::required_position::RequiredPosition,
    message::ResponseBody,
    semantics::cache_status::CACHE_STATUS,
    store::position::Position,
    table::{PendingMode, Write},
};

type Body = Full<Bytes>;
type Cached = BoxCloneSyncService<Request<Body>, Response<ResponseBody<Body>>, Infallible>;

/// An inner service that numbers its responses.
struct Origin {
    calls: AtomicU64,
    status: AtomicU16,
    validated: AtomicU64,
    /// A call waits for a permit.
    permits: Semaphore,
}

impl Origin {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            status: AtomicU16::new(200),
            validated: AtomicU64::new(0),
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    async fn handle(&self, headers: &HeaderMap) -> Response<Body> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if headers.contains_key(IF_NONE_MATCH) {
            self.validated.fetch_add(1, Ordering::SeqCst);
        }
        self.permits.acquire().await.expect("open").forget();
        let mut response = Response::new(Full::from(call.to_string()));
        let status = self.status.load(Ordering::SeqCst);
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        if status == 200 {
            let tag = "\"1\"".parse().expect("a value");
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

fn table() -> Table {
    let route = Route::new("/items/{id}")
        .key("item:{id}")
        .ttl(Duration::from_secs(10))
        .stale_while_revalidate(Duration::from_secs(10))
        .stale_if_error(Duration::from_secs(60))
        .write(Write::Behind)
        .pending(PendingMode::Body);
    Table::new().route(route)
}

fn keep() -> Keep {
    Keep::new(table()).expect("a valid table")
}

fn cached(keep: &Keep, origin: &Arc<Origin>) -> Cached {
    let origin = Arc::clone(origin);
    let inner = service_fn(move |request: Request<Body>| {
        let origin = Arc::clone(&origin);
        async move { Ok::<_, Infallible>(origin.handle(request.headers()).await) }
    });
    BoxCloneSyncService::new(CacheLayer::new(keep).layer(inner))
}

/// A GET's status, content and `Cache-Status`.
async fn get(
    cache: &Cached,
    required: Option<RequiredPosition>,
    fields: &[(&str, &str)],
) -> (u16, String, String) {
    let mut request = Request::get("/items/1");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::default()).expect("a request");
    if let Some(required) = required {
        required.demand(request.extensions_mut());
    }
    let response = cache.clone().oneshot(request).await.expect("a response");
    let status = &response.headers()[CACHE_STATUS];
    let cache_status = status.to_str().expect("text").to_owned();
    let code = response.status().as_u16();
    let content = response.into_body().collect().await.expect("a body");
    let content = String::from_utf8(content.to_bytes().into()).expect("text");
    (code, content, cache_status)
}

/// The content of the response.
async fn content(cache: &Cached, required: Option<RequiredPosition>) -> String {
    get(cache, required, &[]).await.1
}

/// A demand that what is stored now meets.
fn met(keep: &Keep) -> Option<RequiredPosition> {
    let position = keep.engine().fence.position();
    assert!(position.is_known());
    Some(RequiredPosition::Including(position))
}

/// A demand for a record that this process has not heard of.
fn later(keep: &Keep) -> Option<RequiredPosition> {
    let Position { epoch, n } = keep.engine().fence.position();
    let position = Position { epoch, n: n + 1 };
    Some(RequiredPosition::Including(position))
}

/// A demand in another epoch, whose numbers are lower.
fn of_other_epoch(keep: &Keep) -> Option<RequiredPosition> {
    let position = keep.engine().fence.position();
    let epoch = position.epoch ^ 1;
    Some(RequiredPosition::Including(Position { epoch, n: 0 }))
}

#[tokio::test]
async fn an_entry_in_the_local_tier_answers_only_if_it_includes_the_position() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    assert_eq!(content(&cache, None).await, "1");
    assert_eq!(content(&cache, met(&keep)).await, "1");
    assert_eq!(content(&cache, later(&keep)).await, "2");
    assert_eq!(content(&cache, of_other_epoch(&keep)).await, "3");
    assert_eq!(content(&cache, None).await, "3", "the response was stored");
}

#[tokio::test]
async fn a_response_of_the_service_alone_is_not_stored() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    assert_eq!(content(&cache, None).await, "1");
    let (_, content_of, status) = get(&cache, Some(RequiredPosition::FromService), &[]).await;
    assert_eq!(
        (content_of.as_str(), status.as_str()),
        ("2", "tower-keep; fwd=bypass")
    );
    assert_eq!(content(&cache, None).await, "1");
}

#[tokio::test]
async fn a_request_that_must_not_be_answered_by_a_stored_response_gets_504() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    assert_eq!(content(&cache, None).await, "1");
    let fields = [(CACHE_CONTROL.as_str(), "only-if-cached")];
    assert_eq!(get(&cache, met(&keep), &fields).await.0, 200);
    assert_eq!(get(&cache, later(&keep), &fields).await.0, 504);
}

#[tokio::test]
async fn a_follower_does_not_use_a_fill_that_began_too_early() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    let all = origin.permits.forget_permits(Semaphore::MAX_PERMITS);
    assert_eq!(all, Semaphore::MAX_PERMITS);
    let leader = content(&cache, None);
    let follower = content(&cache, met(&keep));
    let demanding = content(&cache, later(&keep));
    pin!(leader, follower, demanding);
    assert!(leader.as_mut().now_or_never().is_none());
    assert!(follower.as_mut().now_or_never().is_none());
    assert!(demanding.as_mut().now_or_never().is_none());
    assert_eq!(origin.calls(), 1, "the others follow");
    origin.permits.add_permits(2);
    assert_eq!(leader.await, "1");
    assert_eq!(follower.await, "1");
    assert_eq!(demanding.await, "2");
}

#[tokio::test(start_paused = true)]
async fn an_entry_served_while_it_is_revalidated_includes_the_position() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    assert_eq!(content(&cache, None).await, "1");
    advance(Duration::from_secs(11)).await;
    // No refresh in the background ends.
    origin.permits.forget_permits(Semaphore::MAX_PERMITS);
    assert_eq!(content(&cache, met(&keep)).await, "1", "stale");
    let demanding = content(&cache, later(&keep));
    pin!(demanding);
    assert!(demanding.as_mut().now_or_never().is_none());
    origin.permits.add_permits(2);
    assert_ne!(demanding.await, "1");
}

#[tokio::test(start_paused = true)]
async fn an_entry_in_place_of_an_error_includes_the_position() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    assert_eq!(content(&cache, None).await, "1");
    advance(Duration::from_secs(21)).await;
    origin.status.store(503, Ordering::SeqCst);
    assert_eq!(get(&cache, later(&keep), &[]).await.0, 503);
    let (status, stale, how) = get(&cache, met(&keep), &[]).await;
    assert_eq!((status, stale.as_str()), (200, "1"), "{how}");
    assert!(how.contains("detail=stale-if-error"), "{how}");
    // In the second after the failure, the service is not called for what is stored.
    let calls = origin.calls();
    let (status, _, how) = get(&cache, met(&keep), &[]).await;
    assert!(status == 200 && how.contains("detail=backoff"), "{how}");
    assert_eq!(origin.calls(), calls);
    assert_eq!(get(&cache, later(&keep), &[]).await.0, 503);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_service_may_confirm_includes_the_position() {
    let (keep, origin) = (keep(), Origin::new());
    let cache = cached(&keep, &origin);
    assert_eq!(content(&cache, None).await, "1");
    advance(Duration::from_secs(21)).await;
    assert_eq!(content(&cache, later(&keep)).await, "2");
    assert_eq!(origin.validated.load(Ordering::SeqCst), 0);
    advance(Duration::from_secs(21)).await;
    assert_eq!(content(&cache, met(&keep)).await, "3");
    assert_eq!(origin.validated.load(Ordering::SeqCst), 1);
}

#[cfg(feature = "redis")]
mod on_redis {
    use super::*;
    use crate::{RedisStore, support::RedisServer};

    async fn keep(server: &RedisServer) -> Keep {
        let store = RedisStore::connect(&server.url()).await;
        let store = store.expect("Redis answers");
        Keep::with_store(table(), store)
            .await
            .expect("a valid table")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_entry_in_redis_answers_only_if_it_includes_the_position() {
        let server = RedisServer::start();
        let (first, second, third) = (
            keep(&server).await,
            keep(&server).await,
            keep(&server).await,
        );
        let origin = Origin::new();
        assert_eq!(content(&cached(&first, &origin), None).await, "1");
        let of_second = cached(&second, &origin);
        assert_eq!(content(&of_second, met(&second)).await, "1");
        assert_eq!(origin.calls(), 1, "a hit in Redis");
        assert_eq!(content(&cached(&third, &origin), later(&third)).await, "2");
    }
}
