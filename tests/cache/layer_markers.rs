//! A layer that is applied twice to the same request, or without the layer it depends on.

use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer, ServiceBuilder};
use tower_keep::{
    CacheLayer, InvalidateLayer, Route,
    table::{Write, mins},
};

use crate::common::{
    client::{advance, get, request, run_other_tasks, send},
    keeps::{engagements, engagements_with, new_keep},
    log::Log,
    origin::{Origin, full, ok},
};

fn counting() -> Origin {
    Origin::from_fn(|_, call| async move { Ok(ok(full(format!("call {call}")), &[])) })
}

/// Regression: the inner layer waited as a follower of the outer one, which waited for the inner.
#[tokio::test]
async fn a_layer_applied_twice_works_once_and_is_reported_once() {
    let ((log, _guard), recorder) = (Log::start(), DebuggingRecorder::new());
    let snapshotter = recorder.snapshotter();
    let keep = metrics::with_local_recorder(&recorder, || new_keep(engagements()));

    let origin = counting();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(origin.clone());
    for path in ["/engagements/1", "/engagements/2", "/engagements/1"] {
        let seen = send(&service, get(path)).await;
        assert_eq!(
            seen.headers.get_all("cache-status").iter().count(),
            1,
            "{seen:?}"
        );
    }
    assert_eq!(origin.calls(), 2);
    assert_eq!(misuses(&snapshotter), 2);
    assert_eq!(log.count("CacheLayer is applied twice"), 1);
}

/// Regression: the inner layer answered the refresh with the stored response that was to be refreshed.
#[tokio::test(start_paused = true)]
async fn a_layer_applied_twice_refreshes_what_is_stored() {
    let keep = new_keep(engagements_with(|route| route.refresh_ahead(mins(29))));
    let origin = counting();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(origin.clone());
    send(&service, get("/engagements/1")).await;
    for call in 2..=3 {
        advance(100).await;
        let hit = send(&service, get("/engagements/1")).await;
        assert!(hit.cache_status().contains("hit"), "{hit:?}");
        origin.called(call).await;
        run_other_tasks().await;
        let seen = send(&service, get("/engagements/1")).await;
        assert_eq!(seen.body, format!("call {call}"));
    }
}

/// Regression: the inner layer read the content of such a request, and then waited as a follower of
/// the outer one.
#[tokio::test]
async fn a_layer_applied_twice_does_not_delay_requests_whose_content_is_in_the_key() {
    let keep = new_keep(engagements());
    let origin = counting();
    let service = ServiceBuilder::new()
        .layer(CacheLayer::new(&keep))
        .layer(CacheLayer::new(&keep))
        .service(origin.clone());
    let answers = send(&service, request("QUERY", "/a", &[]));
    let answer = tokio::time::timeout(Duration::from_secs(5), answers).await;
    let answer = answer.expect("an answer without waiting");
    assert_eq!((answer.body.as_str(), origin.calls()), ("call 1", 1));
    let members = answer.headers.get_all("cache-status").iter().count();
    assert_eq!(members, 1, "{answer:?}");
}

/// The log names the settings of the route that have no effect without an `InvalidateLayer`.
#[tokio::test]
async fn the_report_of_a_missing_invalidate_layer_names_what_needs_it() {
    type Change = fn(Route) -> Route;
    let cases: [(Change, &str); 6] = [
        (|route| route.invalidates(["dashboard:*"]), "`invalidates`"),
        (|route| route.before(true), "`before`"),
        (|route| route.partial_writes(true), "`partial_writes`"),
        (|route| route.settle(Duration::from_secs(1)), "`settle`"),
        (|route| route.write(Write::Through), "`write = \"through\"`"),
        (
            |route| route.invalidates(["dashboard:*"]).before(true),
            "`invalidates`, `before`",
        ),
    ];
    for (change, named) in cases {
        let (log, _guard) = Log::start();
        let keep = new_keep(engagements_with(change));
        let alone = CacheLayer::new(&keep).layer(counting());
        send(&alone, request("PUT", "/engagements/1", &[])).await;
        let said = format!("the route's settings for writes have no effect ({named})");
        assert_eq!(log.count(&said), 1, "{named}");
    }
}

/// Without an `InvalidateLayer`, the table's `invalidates` has no effect.
#[tokio::test]
async fn a_missing_invalidate_layer_is_reported_once() {
    let ((log, _guard), recorder) = (Log::start(), DebuggingRecorder::new());
    let snapshotter = recorder.snapshotter();
    let table = engagements_with(|route| route.invalidates(["dashboard:*"]));
    let keep = metrics::with_local_recorder(&recorder, || new_keep(table));

    let alone = CacheLayer::new(&keep).layer(counting());
    let complete = InvalidateLayer::new(&keep).layer(alone.clone());
    let put = || request("PUT", "/engagements/1", &[]);
    send(&complete, put()).await;
    send(&alone, get("/engagements/1")).await;
    send(&alone, request("PUT", "/elsewhere", &[])).await;
    assert_eq!(
        (
            misuses(&snapshotter),
            log.count("without an InvalidateLayer above it")
        ),
        (0, 0)
    );
    for _ in 0..2 {
        send(&alone, put()).await;
    }
    assert_eq!(
        (
            misuses(&snapshotter),
            log.count("without an InvalidateLayer above it")
        ),
        (2, 1)
    );
}

/// The counts since the last call.
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
    let (outer, inner) = (new_keep(engagements()), new_keep(engagements()));
    let origin = counting();
    let inner = CacheLayer::new(&inner).layer(origin.clone());
    let both = CacheLayer::new(&outer).layer(inner.clone());
    assert_eq!(send(&both, get("/engagements/1")).await.body, "call 1");
    assert_eq!(send(&inner, get("/engagements/1")).await.body, "call 1");
    assert_eq!(origin.calls(), 1);
}
