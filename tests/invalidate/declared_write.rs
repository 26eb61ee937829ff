//! Writes that are declared beforehand: `before = true`.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use http::Response;
use tower::ServiceExt;
use tower_keep::{Route, Scope, Table};

use super::stack::{hits, stack};
use crate::common::{
    client::{get, put, send},
    keeps::new_keep,
    origin::{Gate, Origin, full, ok_text},
};

pub(super) fn table() -> Table {
    let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
    Table::new()
        .route(public("/engagements", "engagements"))
        .route(
            public("/engagements/{id}", "engagement:{id}")
                .invalidates(["engagements"])
                .before(true),
        )
}

/// PUT waits at the gate, then responds with this status; GET responds with the number of the call.
pub(super) fn slow(gate: &Gate, status: u16) -> Origin {
    let gate = gate.clone();
    Origin::from_fn(move |request, call| {
        let gate = gate.clone();
        async move {
            if request.method() == "GET" {
                return ok_text(format!("call {call}"));
            }
            gate.pass().await;
            assert_ne!(status, 0, "it panics");
            Ok(Response::builder()
                .status(status)
                .body(full(""))
                .expect("a response"))
        }
    })
}

/// Longer than the default of a layer.
const LONGEST_WRITE: Duration = Duration::from_secs(61);

const PATHS: [&str; 3] = ["/engagements/1", "/engagements", "/engagements/2"];

#[tokio::test(start_paused = true)]
async fn targets_of_a_declared_write_are_not_cached_until_it_ends() {
    for status in [200, 404, 500, 0] {
        let (keep, gate) = (new_keep(table()), Gate::closed());
        let service = stack(&keep, &slow(&gate, status));
        hits(&service, &PATHS).await;
        let write = AssertUnwindSafe(service.clone().oneshot(put("/engagements/1")));
        let write = tokio::spawn(write.catch_unwind());
        gate.arrival().await;
        let mut read = "call 0".to_owned();
        for _ in 0..3 {
            for path in ["/engagements/1", "/engagements"] {
                let seen = send(&service, get(path)).await;
                assert_ne!(seen.body, read, "{path} was read again");
                read = seen.body;
            }
        }
        assert_eq!(hits(&service, &["/engagements/2"]).await, [true]);
        gate.admit(1);
        assert_eq!(write.await.expect("caught").is_err(), status == 0);
        // A write that failed this way may have been committed.
        if !(200..500).contains(&status) {
            for path in ["/engagements/1", "/engagements"] {
                let seen = send(&service, get(path)).await;
                let cache = seen.headers["cache-status"].to_str().expect("text");
                assert_eq!(cache, "tower-keep; fwd=uri-miss", "{status}");
            }
            tokio::time::sleep(LONGEST_WRITE).await;
        }
        assert_eq!(
            hits(&service, &PATHS).await,
            [false, false, true],
            "{status}"
        );
        assert_eq!(
            hits(&service, &PATHS).await,
            [true; 3],
            "{status}: it is over"
        );
    }
}
