//! What the application says about the outcome of writes: `invalidate_when`, and `partial_writes`.

use std::fmt::Debug;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, Service, ServiceExt};
use tower_keep::{CacheLayer, InvalidateLayer, Keep, Route, Scope, Table};

use crate::common::{
    client::{get, request, send},
    keeps::new_keep,
    origin::{FullResponse, Origin, OriginBody, OriginError, full, response},
};

fn keep(change: impl Fn(Route) -> Route) -> Keep {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    let write = public("/engagements/{id}", "engagement:{id}").invalidates(["engagements"]);
    let table = Table::new()
        .route(public("/engagements", "engagements"))
        .route(change(write));
    new_keep(table)
}

/// Which of the target and the route's `invalidates` are hits.
async fn hits<S, R>(service: &S) -> [bool; 2]
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = OriginError> + Clone,
    R: Body<Data = Bytes>,
    R::Error: Debug,
{
    let mut hits = [false; 2];
    for (hit, path) in hits.iter_mut().zip(["/engagements/1", "/engagements"]) {
        let seen = send(service, get(path)).await;
        *hit = seen.cache_status().contains("; hit");
    }
    hits
}

#[tokio::test]
async fn the_application_decides_which_responses_say_that_a_write_was_committed() {
    let written = |response: &FullResponse| response.headers().contains_key("x-written");
    for (status, is_written, expected) in [
        (302, true, [false, false]),
        (302, false, [false, true]),
        (404, true, [false, false]),
        (500, false, [true, true]),
        (500, true, [false, false]),
        // RFC 9111 section 4.4: the target of a response that is not an error.
        (200, false, [false, true]),
    ] {
        let fields: &[_] = if is_written {
            &[("x-written", "1")]
        } else {
            &[]
        };
        let answer = response(status, fields, "");
        assert_eq!(written(&answer), is_written);
        let origin = Origin::new(move |parts, _| match parts.method.as_str() {
            "GET" => response(200, &[], ""),
            _ => answer.clone(),
        });
        let keep = keep(|route| route);
        let layer = InvalidateLayer::new(&keep)
            .invalidate_when(|head| head.headers.contains_key("x-written"));
        let service = (layer, CacheLayer::new(&keep)).layer(origin);
        hits(&service).await;
        send(&service, request("PUT", "/engagements/1", &[])).await;
        assert_eq!(hits(&service).await, expected, "{status} {is_written}");
    }
}

#[tokio::test]
async fn paths_without_a_route_are_judged_by_the_status() {
    let keep = new_keep(Table::new());
    let fresh = Origin::with_fields(&[("cache-control", "max-age=60")]);
    let layer = InvalidateLayer::new(&keep).invalidate_when(|_| false);
    let service = (layer, CacheLayer::new(&keep)).layer(fresh);
    send(&service, get("/a")).await;
    send(&service, request("PUT", "/a", &[])).await;
    let seen = send(&service, get("/a")).await;
    assert!(!seen.cache_status().contains("; hit"));
}

/// A handler that commits parts of the content responds with any status if the content ends early.
#[tokio::test]
async fn partial_writes_invalidate_even_if_the_content_ends_early() {
    for (status, is_partial, expected) in [
        (500, true, [false, false]),
        (400, true, [false, false]),
        (302, true, [false, false]),
        (500, false, [false, true]),
        (400, false, [true, true]),
    ] {
        let keep = keep(|route| route.partial_writes(is_partial));
        let handler = tower::service_fn(move |request: Request<OriginBody>| async move {
            if request.method() == "GET" {
                return Ok::<_, OriginError>(response(200, &[], ""));
            }
            let content = request.into_body().collect().await;
            assert!(content.is_err());
            Ok(response(status, &[], ""))
        });
        let layers = (InvalidateLayer::new(&keep), CacheLayer::new(&keep));
        let service = layers.layer(handler);
        let read = async |path: &str| {
            let request = get(path).map(full);
            let seen = send(&service, request).await;
            seen.cache_status().contains("; hit")
        };
        for path in ["/engagements/1", "/engagements"] {
            read(path).await;
        }
        let frames = [
            Ok(Frame::data(Bytes::from_static(b"part"))),
            Err(OriginError("the client has gone")),
        ];
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        let request = Request::put("/engagements/1")
            .body(body)
            .expect("a request");
        service.clone().oneshot(request).await.expect("a response");
        let seen = [read("/engagements/1").await, read("/engagements").await];
        assert_eq!(seen, expected, "{status} {is_partial}");
    }
}
