//! A layer that is applied twice to the same request.

use std::{
    io,
    sync::{Arc, Mutex},
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower::{Layer, ServiceBuilder};
use tower_keep::{CacheLayer, Keep};

use super::{
    kit::{get, send},
    stage::{Stage, answer, engagements, full},
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn counting() -> Stage {
    Stage::new(|_, call| async move { Ok(answer(full(format!("call {call}")), &[])) })
}

/// The inner one waited for the outer one, which waited for it.
#[tokio::test]
async fn the_inner_one_does_nothing_and_is_reported_once() {
    let (log, recorder) = (Log::default(), DebuggingRecorder::new());
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let snapshotter = recorder.snapshotter();
    let keep = metrics::with_local_recorder(&recorder, || Keep::new(engagements()));

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
    let misuse = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .find_map(|(key, _, _, value)| {
            (key.key().name() == "tower_keep_layer_misuse_total").then_some(value)
        });
    assert_eq!(misuse, Some(DebugValue::Counter(2)));
    let log = log.0.lock().expect("no panic").clone();
    let log = String::from_utf8(log).expect("text");
    assert_eq!(
        log.matches("CacheLayer is applied twice").count(),
        1,
        "{log}"
    );
}

#[tokio::test]
async fn layers_of_two_keeps_are_two_caches() {
    let (outer, inner) = (Keep::new(engagements()), Keep::new(engagements()));
    let stage = counting();
    let inner = CacheLayer::new(&inner).layer(stage.clone());
    let both = CacheLayer::new(&outer).layer(inner.clone());
    assert_eq!(send(&both, get("/engagements/1")).await.body, "call 1");
    assert_eq!(send(&inner, get("/engagements/1")).await.body, "call 1");
    assert_eq!(stage.calls(), 1);
}
