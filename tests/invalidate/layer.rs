//! `InvalidateLayer` together with other layers.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_keep::{CacheLayer, InvalidateLayer, Key, Route, Scope, Table, table::Unlisted};

use crate::common::{
    client::{get, put, request, send},
    keeps::new_keep,
    origin::{Gate, Origin, OriginError, ok_text},
};

fn table() -> Table {
    let route = Route::new("/engagements/{id}").key("engagement:{id}");
    Table::new().route(route.scope(Scope::Public))
}

async fn ready<S>(service: &mut S)
where
    S: Service<Request<Full<Bytes>>>,
    S::Error: Debug,
{
    service.ready().await.expect("ready");
}

#[tokio::test]
async fn only_writes_to_known_routes_invalidate() {
    let keep = new_keep(table().unlisted(Unlisted::Pass));
    let service = InvalidateLayer::new(&keep).layer(Origin::with_fields(&[]));
    let mut invalidations = keep.invalidations();
    for (request, invalidates) in [
        (get("/engagements/1"), false),
        (request("HEAD", "/engagements/1", &[]), false),
        (put("/elsewhere"), false),
        (request("CONNECT", "example.com:80", &[]), false),
        (put("/engagements/1"), true),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        assert_eq!(send(&service, request).await.status, 200, "{what}");
        let invalidation = invalidations.next().now_or_never();
        assert_eq!(invalidation.is_some(), invalidates, "{what}");
    }
}

#[tokio::test]
async fn readiness_of_the_inner_service_is_forwarded() {
    // A layer that calls a clone instead of the ready instance panics here, and one that is ready
    // before the inner service is lets requests pile up.
    let keep = new_keep(table());
    let gate = Gate::closed();
    let slow = gate.clone();
    let origin = Origin::from_fn(move |request, _| {
        let gate = slow.clone();
        async move {
            if request.uri().path().ends_with("slow") {
                gate.pass().await;
            }
            ok_text("")
        }
    });
    let limited = ConcurrencyLimit::new(origin, 1);
    let service = InvalidateLayer::new(&keep).layer(limited);

    let mut writer = service.clone();
    ready(&mut writer).await;
    let write = tokio::spawn(writer.call(put("/engagements/slow")));
    gate.arrival().await;
    let mut other = service.clone();
    assert!(
        ready(&mut other).now_or_never().is_none(),
        "the permit is taken"
    );
    gate.admit(1);
    write.await.expect("no panic").expect("a response");
    for _ in 0..5 {
        for request in [
            put("/engagements/1"),
            get("/engagements/1"),
            put("/elsewhere"),
        ] {
            let ready = tokio::time::timeout(Duration::from_secs(5), ready(&mut other)).await;
            ready.expect("no deadlock");
            other.call(request).await.expect("a response");
        }
    }
}

#[tokio::test]
async fn one_write_is_one_invalidation() {
    // The CacheLayer leaves RFC 9111 section 4.4 to the layer above it, and only one of two nested
    // InvalidateLayers works.
    let keep = new_keep(table());
    let layers = (
        InvalidateLayer::new(&keep),
        InvalidateLayer::new(&keep),
        CacheLayer::new(&keep),
    );
    let service = layers.layer(Origin::with_fields(&[]));
    let mut heard = keep.invalidations();
    send(&service, put("/engagements/1")).await;
    drop((service, layers, keep));
    assert_eq!(
        heard.next().await.expect("one").to_string(),
        "k:engagement:1"
    );
    assert_eq!(heard.next().await, None);
}

#[tokio::test]
async fn a_cache_layer_alone_invalidates_as_rfc_9111_requires() {
    let keep = new_keep(table());
    let service = CacheLayer::new(&keep).layer(Origin::with_fields(&[]));
    let mut heard = keep.invalidations();
    send(&service, put("/engagements/1")).await;
    assert_eq!(
        heard.next().await.expect("one").to_string(),
        "k:engagement:1"
    );
}

#[tokio::test]
async fn keys_computed_in_code_are_invalidated() {
    let keep = new_keep(table());
    let derive = |parts: &http::request::Parts| {
        let id = parts.uri.path().rsplit('/').next()?;
        Some(Key::new("own").id(id))
    };
    let cache = CacheLayer::new(&keep).key(derive);
    let broken = Origin::from_fn(|request, call| async move {
        if request.uri().query() == Some("broken") {
            Err(OriginError("broken"))
        } else {
            ok_text(format!("call {call}"))
        }
    });
    let service = (InvalidateLayer::new(&keep), cache.clone()).layer(broken.clone());
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    send(&service, put("/engagements/1")).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");

    let layers = (InvalidateLayer::new(&keep).key(derive), cache);
    let service = layers.layer(broken);
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
    service
        .clone()
        .oneshot(put("/engagements/1?broken"))
        .await
        .expect_err("it is broken");
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 5");
}

#[tokio::test]
async fn an_invalidate_layer_of_another_keep_leaves_invalidation_to_the_cache_layer() {
    let (keep, other) = (new_keep(table()), new_keep(table()));
    let service =
        (InvalidateLayer::new(&other), CacheLayer::new(&keep)).layer(Origin::with_fields(&[]));
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 1");
    send(&service, put("/engagements/1")).await;
    assert_eq!(send(&service, get("/engagements/1")).await.body, "call 3");
}

#[test]
fn services_can_be_shared() {
    fn shared<T: Clone + Send + Sync + Debug + 'static>(_: &T) {}
    let keep = new_keep(Table::new());
    let layer = InvalidateLayer::new(&keep).longest_write(Duration::from_secs(5));
    shared(&layer);
    shared(&layer.layer(()));
    assert!(format!("{layer:?}").contains("5s"));
}

#[tokio::test]
async fn axum_takes_both_layers_as_a_tuple() {
    use axum::{Router, body::Body, routing::get};
    let keep = new_keep(table());
    let app = Router::new()
        .route(
            "/engagements/{id}",
            get(|| async { "read" }).put(|| async { "written" }),
        )
        .layer((InvalidateLayer::new(&keep), CacheLayer::new(&keep)));
    let status = async |method: &str| {
        let request = Request::builder().method(method).uri("/engagements/1");
        let request = request.body(Body::empty()).expect("a request");
        let response = app.clone().oneshot(request).await.expect("a response");
        let status = response.headers().get("cache-status").cloned();
        status.map(|status| status.to_str().expect("text").to_owned())
    };
    assert!(status("GET").await.expect("handled").contains("stored"));
    assert!(status("GET").await.expect("handled").contains("hit"));
    assert_eq!(status("PUT").await, None);
    assert!(status("GET").await.expect("handled").contains("stored"));
}
