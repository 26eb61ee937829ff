//! A layer that can respond by itself is always ready and holds no permit of the inner service.

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use tower::{Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit};
use tower_keep::{CacheLayer, cache::Cache};

use crate::common::{
    client::{get, run_other_tasks, send},
    keeps::{engagements, new_keep},
    origin::{Gate, Origin, full, ok},
};

/// A service with one permit; `/engagements/slow` waits at the gate.
fn with_one_permit(gate: &Gate) -> (Origin, Cache<ConcurrencyLimit<Origin>>) {
    let gate = gate.clone();
    let origin = Origin::from_fn(move |request, call| {
        let gate = gate.clone();
        async move {
            if request.uri().path().ends_with("slow") {
                gate.pass().await;
            }
            Ok(ok(full(format!("call {call}")), &[]))
        }
    });
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&new_keep(engagements())))
        .concurrency_limit(1)
        .service(origin.clone());
    (origin, service)
}

#[tokio::test]
async fn a_hit_does_not_wait_for_a_slow_miss() {
    let gate = Gate::closed();
    let (origin, mut service) = with_one_permit(&gate);
    send(&service, get("/engagements/1")).await;

    let slow = tokio::spawn(service.clone().oneshot(get("/engagements/slow")));
    origin.called(2).await;
    let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service);
    let ready = ready.now_or_never().expect("always ready");
    let hit = ready.expect("no error").call(get("/engagements/1"));
    let hit = hit.now_or_never().expect("at once").expect("no error");
    assert_eq!(hit.status(), 200);

    // Another miss waits for the permit, which the hit does not hold.
    let other = tokio::spawn(service.clone().oneshot(get("/engagements/2")));
    run_other_tasks().await;
    assert_eq!(origin.calls(), 2);
    assert!(!other.is_finished());
    gate.open();
    assert_eq!(
        slow.await.expect("no panic").expect("no error").status(),
        200
    );
    assert_eq!(
        other.await.expect("no panic").expect("no error").status(),
        200
    );
}

#[tokio::test]
async fn ready_clones_hold_no_permit_of_the_inner_service() {
    let (_, service) = with_one_permit(&Gate::closed());
    let mut idlers: Vec<_> = (0..8).map(|_| service.clone()).collect();
    for idler in &mut idlers {
        let ready = ServiceExt::<Request<Full<Bytes>>>::ready(idler);
        ready.await.expect("always ready");
    }
    let response = service.clone().oneshot(get("/engagements/1"));
    let response = response.now_or_never().expect("the permit is free");
    assert_eq!(response.expect("no error").status(), 200);
    drop(idlers);
}

#[tokio::test]
async fn a_passed_request_acquires_its_permit_in_the_future() {
    let gate = Gate::closed();
    let (origin, service) = with_one_permit(&gate);
    let slow = tokio::spawn(service.clone().oneshot(get("/engagements/slow")));
    origin.called(1).await;
    let mut put = get("/engagements/1");
    *put.method_mut() = http::Method::PUT;
    let put = tokio::spawn(service.clone().oneshot(put));
    run_other_tasks().await;
    assert!(!put.is_finished());
    gate.open();
    slow.await.expect("no panic").expect("no error");
    put.await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn works_inside_and_outside_of_a_buffer() {
    let (origin, service) = with_one_permit(&Gate::closed());
    let behind = Buffer::new(service, 4);
    for _ in 0..3 {
        assert_eq!(send(&behind, get("/engagements/1")).await.body, "call 1");
    }
    let before = ServiceBuilder::new()
        .layer(CacheLayer::new(&new_keep(engagements())))
        .buffer(4)
        .service(origin);
    for _ in 0..3 {
        assert_eq!(send(&before, get("/engagements/1")).await.body, "call 2");
    }
}
