//! A layer that is applied twice to the same request, or whose partner is missing.

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer, ServiceBuilder};
use tower_keep::{CacheLayer, InvalidateLayer, Keep};

use super::{
    kit::{get, request, send},
    stage::{Stage, answer, engagement, engagements, full},
};
use crate::log::Log;

fn counting() -> Stage {
    Stage::new(|_, call| async move { Ok(answer(full(format!("call {call}")), &[])) })
}

/// The inner one waited for the outer one, which waited for it.
#[tokio::test]
async fn the_inner_one_does_nothing_and_is_reported_once() {
    let ((log, _guard), recorder) = (Log::start(), DebuggingRecorder::new());
    let snapshotter = recorder.snapshotter();
    let keep = metrics::with_local_recorder(&recorder, || {
        Keep::new(engagements()).expect("a valid table")
    });

    let stage = counting();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(stage.clone());
    for path in ["/engagements/1", "/engagements/2", "/engagements/1"] {
        let seen = send(&service, get(path)).await;
        assert_eq!(
            seen.headers.get_all("cache-status").iter().count(),
            1,
            "{seen:?}"
        );
    }
    assert_eq!(stage.calls(), 2);
    assert_eq!(misuses(&snapshotter), 2);
    assert_eq!(log.count("CacheLayer is applied twice"), 1);
}

/// A table that says what a write invalidates is in vain where nobody is there to do it.
#[tokio::test]
async fn a_missing_invalidate_layer_is_reported_once() {
    let ((log, _guard), recorder) = (Log::start(), DebuggingRecorder::new());
    let snapshotter = recorder.snapshotter();
    let table = engagement(|route| route.invalidates(["dashboard:*"]));
    let keep = metrics::with_local_recorder(&recorder, || Keep::new(table).expect("a valid table"));

    let alone = CacheLayer::new(&keep).layer(counting());
    let complete = InvalidateLayer::new(&keep).layer(alone.clone());
    let put = || request("PUT", "/engagements/1", &[]);
    send(&complete, put()).await;
    send(&alone, get("/engagements/1")).await;
    send(&alone, request("PUT", "/elsewhere", &[])).await;
    assert_eq!(
        (misuses(&snapshotter), log.count("no InvalidateLayer")),
        (0, 0)
    );
    for _ in 0..2 {
        send(&alone, put()).await;
    }
    assert_eq!(
        (misuses(&snapshotter), log.count("no InvalidateLayer")),
        (2, 1)
    );
}

/// What has been counted since it was last asked.
fn misuses(snapshotter: &Snapshotter) -> u64 {
    let metrics = snapshotter.snapshot().into_vec();
    let found = metrics
        .into_iter()
        .find_map(|(key, _, _, value)| match value {
            DebugValue::Counter(n) if key.key().name() == "tower_keep_layer_misuse_total" => {
                Some(n)
            }
            _ => None,
        });
    found.unwrap_or_default()
}

#[tokio::test]
async fn layers_of_two_keeps_are_two_caches() {
    let (outer, inner) = (
        Keep::new(engagements()).expect("a valid table"),
        Keep::new(engagements()).expect("a valid table"),
    );
    let stage = counting();
    let inner = CacheLayer::new(&inner).layer(stage.clone());
    let both = CacheLayer::new(&outer).layer(inner.clone());
    assert_eq!(send(&both, get("/engagements/1")).await.body, "call 1");
    assert_eq!(send(&inner, get("/engagements/1")).await.body, "call 1");
    assert_eq!(stage.calls(), 1);
}
