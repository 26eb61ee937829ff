//! In axum, with its own middleware and tower-http's between the layers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request},
    middleware::{Next, from_fn},
    response::Response,
    routing::{MethodRouter, get},
};
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer,
    decompression::RequestDecompressionLayer, limit::RequestBodyLimitLayer,
    map_request_body::MapRequestBodyLayer, timeout::TimeoutLayer, trace::TraceLayer,
};
use tower_keep::{CacheLayer, InvalidateLayer, RateLimitLayer, Table};

use super::table;
use crate::common::{
    client::{TestResponse, get as get_request, send},
    keeps::new_keep,
    origin::{Origin, cached},
};

/// Middleware for axum's `from_fn` that adds a field to each response.
async fn mark(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let mark = "1".parse().expect("a value");
    response.headers_mut().append("x-mark", mark);
    response
}

/// The response to a GET has the number of the call; a PUT returns the name in its content.
fn handlers() -> MethodRouter {
    let calls = Arc::new(AtomicUsize::new(0));
    let read = async move |Path(id): Path<String>, content: String| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        format!("{id}{content} {call}")
    };
    let write = async |Path(id): Path<String>, Json(content): Json<Value>| {
        format!("{id} is {}", content["name"])
    };
    get(read).put(write)
}

fn put(name: &str) -> Request {
    let content = json!({ "name": name }).to_string();
    Request::put("/engagements/7")
        .header("content-type", "application/json")
        .header("content-length", content.len())
        .body(Body::from(content))
        .expect("a request")
}

async fn read(app: &Router) -> TestResponse {
    send(app, get_request("/engagements/7").map(Body::new)).await
}

/// The second GET is a hit, a PUT reaches its handler with its content, and the GET after it is no hit.
async fn check(app: &Router) {
    let first = read(app).await;
    assert_eq!(first.body, "7 1", "{first:?}");
    assert!(first.cache_status().contains("; stored"), "{first:?}");
    let second = read(app).await;
    assert_eq!(second.body, "7 1");
    assert!(second.cache_status().contains("; hit"), "{second:?}");
    assert!(second.headers.contains_key("ratelimit"), "{second:?}");
    let written = send(app, put("new")).await;
    assert_eq!(written.body, "7 is \"new\"");
    assert_eq!(read(app).await.body, "7 2");
}

/// All three layers, with axum's middleware outside them, between them and inside them.
macro_rules! layers {
    ($keep:expr) => {
        (
            from_fn(mark),
            RateLimitLayer::new($keep),
            from_fn(mark),
            InvalidateLayer::new($keep),
            from_fn(mark),
            CacheLayer::new($keep),
            from_fn(mark),
        )
    };
}

#[tokio::test]
async fn a_tuple_of_layers_with_middleware_between_them_fits_everywhere() {
    let keeps = [(); 3].map(|()| new_keep(table()));
    let route = |handlers| Router::new().route("/engagements/{id}", handlers);
    let apps = [
        route(handlers()).layer(layers!(&keeps[0])),
        route(handlers()).route_layer(layers!(&keeps[1])),
        route(handlers().layer(layers!(&keeps[2]))),
    ];
    for app in apps {
        check(&app).await;
        let hit = read(&app).await;
        assert_eq!(hit.headers.get_all("x-mark").iter().count(), 4, "{hit:?}");
    }
}

#[tokio::test]
async fn layers_can_be_added_one_by_one() {
    let keep = new_keep(table());
    let app = Router::new()
        .route("/engagements/{id}", handlers())
        .layer(CacheLayer::new(&keep))
        .layer(from_fn(mark))
        .layer(InvalidateLayer::new(&keep))
        .layer(from_fn(mark))
        .layer(RateLimitLayer::new(&keep));
    check(&app).await;
}

#[tokio::test]
async fn layers_of_tower_http_stand_between_them() {
    let keep = new_keep(table());
    let app = Router::new().route("/engagements/{id}", handlers()).layer(
        ServiceBuilder::new()
            .layer(TraceLayer::new_for_http())
            .layer(CatchPanicLayer::new())
            .layer(RateLimitLayer::new(&keep))
            .layer(CompressionLayer::new())
            .layer(InvalidateLayer::new(&keep))
            .layer(TimeoutLayer::with_status_code(
                StatusCode::GATEWAY_TIMEOUT,
                Duration::from_secs(30),
            ))
            .layer(CacheLayer::new(&keep))
            .layer(TraceLayer::new_for_http()),
    );
    check(&app).await;
}

/// A layer that changes the type of the body needs a `MapRequestBodyLayer` behind it.
#[tokio::test]
async fn layers_that_change_the_body_are_followed_by_one_that_boxes_it() {
    let keep = new_keep(table());
    let app = Router::new().route("/engagements/{id}", handlers()).layer((
        RequestBodyLimitLayer::new(64),
        MapRequestBodyLayer::new(Body::new),
        RateLimitLayer::new(&keep),
        RequestDecompressionLayer::new(),
        MapRequestBodyLayer::new(Body::new),
        InvalidateLayer::new(&keep),
        CacheLayer::new(&keep),
    ));
    check(&app).await;
    let long = send(&app, put(&"long".repeat(100))).await;
    assert_eq!(long.status, 413, "{long:?}");
}

/// A router of another framework, which removes the prefix and keeps the original URI in its own
/// extension.
#[derive(Clone)]
struct Received(Uri);

fn nest<S>(
    service: S,
) -> impl Service<http::Request<String>, Response = S::Response, Error = S::Error, Future: Send> + Clone
where
    S: Service<http::Request<String>, Future: Send> + Clone,
{
    service.map_request(|mut request: http::Request<String>| {
        let path = request.uri().path();
        let (_, rest) = path[1..].split_once('/').expect("a prefix");
        let rest = format!("/{rest}").parse().expect("a path");
        let received = std::mem::replace(request.uri_mut(), rest);
        request.extensions_mut().insert(Received(received));
        request
    })
}

#[tokio::test]
async fn another_router_says_which_path_it_received() {
    let keep = new_keep(Table::new());
    keep.path(|extensions| extensions.get::<Received>().map(|received| &received.0));
    let origin = |name: &'static str| {
        Origin::new(move |parts, call| {
            assert_eq!(parts.uri.path(), "/items/7", "the prefix is taken off");
            let body = format!("{name} {call}");
            let mut response = http::Response::new(body.into());
            let fresh = "max-age=60".parse().expect("a value");
            response.headers_mut().insert("cache-control", fresh);
            response
        })
    };
    let one = nest(cached(&keep, &origin("one")));
    let two = nest(cached(&keep, &origin("two")));
    let get = |path: &str| get_request(path).map(|_| String::new());
    for _ in 0..2 {
        assert_eq!(send(&one, get("/one/items/7")).await.body, "one 1");
        assert_eq!(send(&two, get("/two/items/7")).await.body, "two 1");
    }
}
