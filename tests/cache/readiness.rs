//! A layer that can answer by itself is always ready, and holds nothing of the inner service.

use bytes::Bytes;
use futures_util::FutureExt;
use http::Request;
use http_body_util::Full;
use tower::{Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit};
use tower_keep::{CacheLayer, Keep, cache::Cache};

use super::{
    kit::{get, send},
    stage::{Gate, Stage, answer, engagements, full, idle},
};

/// Over one permit; `/engagements/slow` waits for the gate.
fn narrow(gate: &Gate) -> (Stage, Cache<ConcurrencyLimit<Stage>>) {
    let gate = gate.clone();
    let stage = Stage::new(move |request, call| {
        let gate = gate.clone();
        async move {
            if request.uri().path().ends_with("slow") {
                gate.pass().await;
            }
            Ok(answer(full(format!("call {call}")), &[]))
        }
    });
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(
            &Keep::new(engagements()).expect("a valid table"),
        ))
        .concurrency_limit(1)
        .service(stage.clone());
    (stage, service)
}

#[tokio::test]
async fn a_hit_beside_a_slow_miss_is_not_delayed() {
    let gate = Gate::closed();
    let (stage, mut service) = narrow(&gate);
    send(&service, get("/engagements/1")).await;

    let slow = tokio::spawn(service.clone().oneshot(get("/engagements/slow")));
    stage.called(2).await;
    let ready = ServiceExt::<Request<Full<Bytes>>>::ready(&mut service);
    let ready = ready.now_or_never().expect("always ready");
    let hit = ready.expect("no error").call(get("/engagements/1"));
    let hit = hit.now_or_never().expect("at once").expect("no error");
    assert_eq!(hit.status(), 200);

    // Another miss waits for the permit, which the hit has not taken.
    let other = tokio::spawn(service.clone().oneshot(get("/engagements/2")));
    idle().await;
    assert_eq!(stage.calls(), 2);
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
async fn clones_that_were_made_ready_hold_no_permit() {
    let (_, service) = narrow(&Gate::closed());
    let mut idlers: Vec<_> = (0..8).map(|_| service.clone()).collect();
    for idler in &mut idlers {
        let ready = ServiceExt::<Request<Full<Bytes>>>::ready(idler);
        ready.await.expect("always ready");
    }
    let answer = service.clone().oneshot(get("/engagements/1"));
    let answer = answer.now_or_never().expect("the permit is free");
    assert_eq!(answer.expect("no error").status(), 200);
    drop(idlers);
}

#[tokio::test]
async fn what_passes_gets_its_permit_in_the_future() {
    let gate = Gate::closed();
    let (stage, service) = narrow(&gate);
    let slow = tokio::spawn(service.clone().oneshot(get("/engagements/slow")));
    stage.called(1).await;
    let mut put = get("/engagements/1");
    *put.method_mut() = http::Method::PUT;
    let put = tokio::spawn(service.clone().oneshot(put));
    idle().await;
    assert!(!put.is_finished());
    gate.open();
    slow.await.expect("no panic").expect("no error");
    put.await.expect("no panic").expect("no error");
}

#[tokio::test]
async fn serves_behind_and_before_a_buffer() {
    let (stage, service) = narrow(&Gate::closed());
    let behind = Buffer::new(service, 4);
    for _ in 0..3 {
        assert_eq!(send(&behind, get("/engagements/1")).await.body, "call 1");
    }
    let before = ServiceBuilder::new()
        .layer(CacheLayer::new(
            &Keep::new(engagements()).expect("a valid table"),
        ))
        .buffer(4)
        .service(stage);
    for _ in 0..3 {
        assert_eq!(send(&before, get("/engagements/1")).await.body, "call 2");
    }
}
