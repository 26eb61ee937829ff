//! Allocations and metrics of limits.

use std::{
    pin::pin,
    task::{Context, Waker},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer, Service};
use tower_keep::{Keep, Key, Limit, RateLimitLayer, Table, rate_limit::Quota, table::mins};

use super::{admitted, of_user, origin};
use crate::common::keeps::new_keep;

/// Allocations of one request through a service that answers at once.
fn allocations<S>(service: &mut S, path: &str) -> u64
where
    S: Service<Request<Full<Bytes>>>,
{
    let request = of_user(path, "u");
    let mut cx = Context::from_waker(Waker::noop());
    let info = allocation_counter::measure(|| {
        assert!(service.poll_ready(&mut cx).is_ready());
        assert!(pin!(service.call(request)).poll(&mut cx).is_ready());
    });
    info.count_total
}

#[test]
fn requests_without_a_limit_cost_no_allocation() {
    let limit = Limit::new("api", 9, mins(1)).path("/api");
    let keep = new_keep(Table::new().limit(limit));
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    // Thread-local state is set up by the first request.
    allocations(&mut service, "/other");
    let (bare, limited) = (
        allocations(&mut origin(), "/other"),
        allocations(&mut service, "/other"),
    );
    assert_eq!(limited, bare);
    assert!(
        allocations(&mut service, "/api") > bare,
        "the request is limited"
    );
}

#[test]
fn a_decision_in_this_process_costs_no_allocation() {
    let keep = new_keep(Table::new());
    let key = Key::new("api").id("user-123");
    let decide = || {
        let mut cx = Context::from_waker(Waker::noop());
        let decided = pin!(keep.rate_limit(&key, Quota::per_minute(2))).poll(&mut cx);
        assert!(decided.is_ready());
    };
    let first = allocation_counter::measure(decide).count_total;
    assert!(first > 0, "a counter is made");
    for _ in 0..3 {
        let info = allocation_counter::measure(decide);
        assert_eq!(info.count_total, 0, "admitted or refused");
    }
}

fn counted(snapshotter: &Snapshotter) -> Vec<(String, u64)> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    let mut counted: Vec<_> = all
        .filter_map(|(key, _, _, value)| {
            let name = key.key().name().strip_prefix("tower_keep_rate_limit_")?;
            let labels = key.key().labels().map(|label| label.value().to_owned());
            let labels: Vec<_> = labels.collect();
            match value {
                DebugValue::Counter(0) => None,
                DebugValue::Counter(n) => Some((format!("{name} {}", labels.join(" ")), n)),
                _ => None,
            }
        })
        .collect();
    counted.sort();
    counted
}

#[tokio::test]
async fn every_limit_counts_what_it_admitted_and_refused() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let limits = [
        Limit::new("api", 3, mins(1)),
        Limit::new("new", 1, mins(1)).shadow(true),
    ];
    let table = limits.into_iter().fold(Table::new(), Table::limit);
    let keep = metrics::with_local_recorder(&recorder, || new_keep(table));
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 3);
    let expected = [
        ("requests_total api admitted", 3),
        ("requests_total api refused", 2),
        ("requests_total new admitted", 1),
        ("requests_total new shadow_refused", 4),
    ];
    let expected = expected.map(|(what, n)| (what.to_owned(), n));
    assert_eq!(counted(&snapshotter), expected);
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn decisions_without_redis_are_counted_apart() {
    let mut server = crate::support::RedisServer::start();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let guard = metrics::set_default_local_recorder(&recorder);
    let store = tower_keep::RedisStore::connect(server.url()).await;
    let table = Table::new().limit(Limit::new("api", 2, mins(1)));
    let keep = Keep::with_store(table, store.expect("connects")).await;
    let keep = keep.expect("a good table");
    drop(guard);
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    server.kill();
    assert_eq!(admitted(&mut service, 5, || of_user("/", "u")).await, 2);
    let expected = [
        ("fallbacks_total api", 5),
        ("requests_total api admitted", 2),
        ("requests_total api refused", 3),
    ];
    let expected = expected.map(|(what, n)| (what.to_owned(), n));
    assert_eq!(counted(&snapshotter), expected);
}
