//! The metrics of requests and values.

use std::{collections::BTreeMap, convert::Infallible};

use http::Request;
use http_body_util::Full;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tokio::task::yield_now;
use tower_keep::{Keep, Key};

use crate::common::{
    client::{get, send},
    keeps::{engagements, new_keep},
    origin::{Origin, cached, full, ok},
};

/// A keep, and a snapshotter of its counters.
fn keep() -> (Keep, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let keep = metrics::with_local_recorder(&recorder, || new_keep(engagements()));
    (keep, snapshotter)
}

/// The counts of a metric by result since the last call.
fn results(snapshotter: &Snapshotter, name: &str) -> BTreeMap<String, u64> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.filter(|(key, ..)| key.key().name() == name)
        .filter_map(|(key, _, _, value)| {
            let result = key.key().labels().find(|label| label.key() == "result")?;
            match value {
                DebugValue::Counter(count) if count > 0 => Some((result.value().to_owned(), count)),
                _ => None,
            }
        })
        .collect()
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected.map(|(name, n)| (name.to_owned(), n)).into()
}

#[tokio::test]
async fn every_request_of_a_route_is_counted_once() {
    let (keep, snapshotter) = keep();
    let origin = Origin::from_fn(|_, _| async { Ok(ok(full("an engagement"), &[])) });
    let service = cached(&keep, &origin);
    for _ in 0..5 {
        send(&service, get("/engagements/1")).await;
    }
    let unknown = Request::builder().method("PROPFIND");
    let unknown = unknown.uri("/engagements/1").body(Full::default());
    send(&service, unknown.expect("a request")).await;
    send(&service, get("/engagements/2")).await;
    let seen = results(&snapshotter, "tower_keep_cache_requests_total");
    assert_eq!(seen, counts([("hit_local", 4), ("miss", 2), ("bypass", 1)]));
}

#[tokio::test]
async fn every_read_of_a_value_is_counted_once() {
    let (keep, snapshotter) = keep();
    let key = Key::new("quote").id(1);
    assert_eq!(keep.get::<u32>(&key).await.expect("no error"), None);
    let made = || {
        keep.get_or_set(&key, || async {
            yield_now().await;
            Ok::<_, Infallible>(7)
        })
    };
    let (first, second) = tokio::join!(made(), made());
    assert_eq!((first, second), (Ok(7), Ok(7)));
    assert_eq!(keep.get::<u32>(&key).await.expect("no error"), Some(7));
    assert_eq!(made().await, Ok(7));
    let seen = results(&snapshotter, "tower_keep_value_requests_total");
    assert_eq!(seen, counts([("hit", 2), ("miss", 2), ("collapsed", 1)]));
}
