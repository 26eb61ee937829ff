//! Layers of the same keep inside the worker's service, and metrics.

use std::collections::HashMap;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::{Layer, ServiceExt, util::BoxCloneService};

use super::kit::*;
use crate::{
    cache::CacheLayer,
    engine::queue_metrics::QueueMetrics,
    error::BoxError,
    invalidate::InvalidateLayer,
    key::purge::PurgeTarget,
    message::response_body::ResponseBody,
    rate_limit::RateLimitLayer,
    table::{Behind, Limit, mins},
    write_behind::{QueueCounts, WriteBehindWorker, WriteState},
};
use http::{Request, Response};
use http_body_util::BodyExt;

type Layered = BoxCloneService<Request<String>, Response<ResponseBody<String>>, BoxError>;

#[tokio::test(start_paused = true)]
async fn layers_of_the_same_keep_pass_an_applied_write_through() {
    let table = table(Behind::new()).limit(Limit::new("all", 1, mins(60)));
    let world = World::with(table).await;
    let handler = world.calls.service(|_, _| async { Ok(answer(200)) });
    let limited = RateLimitLayer::new(&world.keep).layer(
        InvalidateLayer::new(&world.keep)
            .layer(CacheLayer::new(&world.keep).layer(handler))
            .map_response(|response| response.map(|_| String::new())),
    );
    let worker = WriteBehindWorker::new(&world.keep, limited).request_body::<String>();
    let queue = std::sync::Arc::clone(&world.queue);
    let task = tokio::spawn(worker.run_on(queue, std::future::pending()));
    for number in 0..3_u64 {
        let before = world.keep.engine().fence.position();
        let id = world.push("1", "one").await;
        let status = world.becomes(id, WriteState::Done).await;
        assert_eq!(status.attempts, 1, "write {number} was not limited");
        let after = world.keep.engine().fence.position();
        assert_eq!(
            after.n - before.n,
            2,
            "declared and closed, and nothing else"
        );
    }
    task.abort();
}

async fn get(service: &Layered) -> (String, String) {
    let request = Request::get("http://api.example.com/agents/1").body(String::new());
    let response = service.clone().oneshot(request.expect("a request")).await;
    let response = response.expect("no error");
    let cache = response.headers()["cache-status"].to_str().expect("ASCII");
    let cache = cache.to_owned();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (String::from_utf8_lossy(&body).into_owned(), cache)
}

#[tokio::test(start_paused = true)]
async fn caches_are_fenced_while_a_write_is_applied_and_hold_its_result_afterwards() {
    let world = World::new().await;
    let value = std::sync::Arc::new(std::sync::Mutex::new("old".to_owned()));
    let read = std::sync::Arc::clone(&value);
    let reads = tower::service_fn(move |_: Request<String>| {
        let value = read.lock().expect("no panic").clone();
        async move { Ok::<_, BoxError>(Response::new(value)) }
    });
    let reads: Layered = BoxCloneService::new(CacheLayer::new(&world.keep).layer(reads));
    for expected in ["stored", "hit"] {
        let (body, cache) = get(&reads).await;
        assert!(body == "old" && cache.contains(expected), "{cache}");
    }
    let written = std::sync::Arc::clone(&value);
    let worker = world.start(world.worker(move |request, _| {
        let written = std::sync::Arc::clone(&written);
        async move {
            *written.lock().expect("no panic") = request.into_body();
            tokio::time::sleep(10 * LEASE).await;
            Ok(answer(200))
        }
    }));
    let id = world.push("1", "new").await;
    world.calls.reach(1).await;
    for _ in 0..3 {
        for _ in 0..2 {
            let (body, cache) = get(&reads).await;
            assert!(body == "new" && !cache.contains("hit"), "{cache}");
        }
        tokio::time::sleep(2 * LEASE).await;
    }
    world.becomes(id, WriteState::Done).await;
    for expected in ["stored", "hit"] {
        let (body, cache) = get(&reads).await;
        assert!(body == "new" && cache.contains(expected), "{cache}");
    }
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_names_is_invalidated_as_well() {
    let world = World::new().await;
    let worker = world.start(world.worker(|_, _| async {
        let mut response = answer(201);
        let location = "/agents/2".parse().expect("a value");
        response.headers_mut().insert("location", location);
        let groups = "\"team\"".parse().expect("a value");
        response
            .headers_mut()
            .insert("cache-group-invalidation", groups);
        Ok(response)
    }));
    let mut events = world.keep.engine().fence.subscribe();
    let id = world.push("1", "one").await;
    world.becomes(id, WriteState::Done).await;
    let event = events.next().await.expect("an event");
    let crate::fence::subscription::AppliedEvent::Purges(purges) = event else {
        panic!("{event:?}");
    };
    let named = |target: &PurgeTarget| purges.iter().any(|purge| purge.target == *target);
    assert!(named(&PurgeTarget::Key("agent:1".into())));
    assert!(named(&PurgeTarget::Key("agent:2".into())));
    assert!(
        purges
            .iter()
            .any(|purge| matches!(purge.target, PurgeTarget::Tag(_))),
        "{purges:?}"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_writes_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // Handles are registered when the keep is made.
    let world = {
        let _guard = metrics::set_default_local_recorder(&recorder);
        World::with(table(Behind::new().attempts(2))).await
    };
    let worker = world.start(world.worker(|request, _| async move {
        Ok(answer(if request.body() == "bad" { 500 } else { 200 }))
    }));
    let bad = world.push("1", "bad").await;
    let good = world.push("2", "good").await;
    world.becomes(bad, WriteState::Dead).await;
    world.becomes(good, WriteState::Done).await;
    worker.stop().await;
    let counters: HashMap<_, _> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, .., value)| match value {
            DebugValue::Counter(count) => Some((key.key().name().to_owned(), count)),
            _ => None,
        })
        .collect();
    for (name, expected) in [("applied", 1), ("retried", 1), ("dead", 1), ("lost", 0)] {
        let count = counters[&format!("tower_keep_write_behind_{name}_total")];
        assert_eq!(count, expected, "{name}");
    }
}

#[test]
fn gauges_show_the_counts_of_the_queue() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let metrics = metrics::with_local_recorder(&recorder, QueueMetrics::register);
    metrics.observe(&QueueCounts {
        waiting: 7,
        paused: true,
        ..QueueCounts::default()
    });
    let gauges: Vec<_> = snapshotter.snapshot().into_vec();
    let gauge = |name: &str| {
        let found = gauges.iter().find(|(key, ..)| key.key().name() == name);
        match found {
            Some((.., DebugValue::Gauge(value))) => value.into_inner(),
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(gauge("tower_keep_write_behind_waiting"), 7.0);
    assert_eq!(gauge("tower_keep_write_behind_paused"), 1.0);
}
