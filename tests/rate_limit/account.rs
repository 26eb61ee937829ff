//! What a limit costs where it has no say, and what is counted of it.

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

use super::{Inner, admitted, of_user};

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
fn what_no_limit_claims_costs_no_allocation() {
    let limit = Limit::new("api", 9, mins(1)).path("/api");
    let keep = Keep::new(Table::new().limit(limit)).expect("a valid table");
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
    // what a thread sets up once
    allocations(&mut service, "/other");
    let (bare, limited) = (
        allocations(&mut Inner::default(), "/other"),
        allocations(&mut service, "/other"),
    );
    assert_eq!(limited, bare);
    assert!(allocations(&mut service, "/api") > bare, "it is limited");
}

#[test]
fn a_decision_in_this_process_costs_no_allocation() {
    let keep = Keep::new(Table::new()).expect("a valid table");
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
    let keep = metrics::with_local_recorder(&recorder, || Keep::new(table).expect("a valid table"));
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
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
async fn what_is_decided_without_redis_is_counted_as_such() {
    let mut server = crate::support::RedisServer::start();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let guard = metrics::set_default_local_recorder(&recorder);
    let store = tower_keep::RedisStore::connect(server.url()).await;
    let table = Table::new().limit(Limit::new("api", 2, mins(1)));
    let keep = Keep::with_store(table, store.expect("connects")).await;
    let keep = keep.expect("a good table");
    drop(guard);
    let mut service = RateLimitLayer::new(&keep).layer(Inner::default());
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
