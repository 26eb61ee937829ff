//! Reloaded tables and the fence.

use std::time::Duration;

use tower::ServiceExt;
use tower_keep::{Route, Scope, Table, table::secs, testing::TestKeep};

use super::{
    declared_write::slow,
    stack::{hits, is_hit, stack},
};
use crate::common::{
    client::{get, put, send},
    keeps::new_keep,
    origin::{Gate, Origin},
};

fn route() -> Route {
    Route::new("/engagements/{id}")
        .key("engagement:{id}")
        .scope(Scope::Public)
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn a_reloaded_max_lag_applies_from_the_next_request_on() {
    use tower_keep::{Keep, RedisStore, table::Store};

    use crate::support::{RedisServer, until};

    let max_lag = |lag| Table::new().store(Store::new().max_lag(lag)).route(route());
    let server = RedisServer::start();
    let store = RedisStore::connect(server.url()).await.expect("a store");
    let keep = Keep::with_store(max_lag(secs(600)), store)
        .await
        .expect("a keep");
    let stack = stack(&keep, &Origin::with_fields(&[]));
    assert!(!is_hit(&stack, get("/engagements/1")).await);
    // From here on the position is unknown.
    server.stop_signal();
    assert!(is_hit(&stack, get("/engagements/1")).await);

    let short = max_lag(Duration::from_millis(1));
    until("the last proof to be older than that", || async {
        keep.reload(&short).expect("a good table");
        let seen = send(&stack, get("/engagements/1")).await;
        (seen.body != "call 1").then_some(())
    })
    .await;
    keep.reload(&max_lag(secs(600))).expect("a good table");
    assert!(is_hit(&stack, get("/engagements/1")).await);
    server.continue_signal();
}

#[tokio::test(start_paused = true)]
async fn a_reloaded_settle_applies_from_the_next_write_on() {
    let settle = |delay| Table::new().route(route().settle(secs(delay)));
    let keep = TestKeep::new(Table::new().route(route()));
    let stack = stack(&keep, &Origin::with_fields(&[]));
    let after = async |seconds| {
        send(&stack, put("/engagements/1")).await;
        let before = keep.invalidations();
        tokio::time::sleep(secs(seconds) - Duration::from_millis(1)).await;
        assert_eq!(keep.invalidations(), before);
        tokio::time::sleep(Duration::from_millis(2)).await;
        keep.invalidations() - before
    };
    assert_eq!(after(600).await, 0);
    for seconds in [1, 30] {
        keep.reload(&settle(seconds)).expect("a good table");
        assert_eq!(after(seconds).await, 1);
    }
    keep.reload(&Table::new().route(route()))
        .expect("a good table");
    assert_eq!(after(600).await, 0);
}

/// What was stored meanwhile is named by the later table, and what another process stores by the earlier
/// one.
#[tokio::test]
async fn a_write_during_a_reload_invalidates_by_both_tables() {
    let named = |key: &str, invalidates: &str| {
        let public = |path: &str, key: &str| Route::new(path).key(key).scope(Scope::Public);
        Table::new()
            .route(public("/engagements/{id}", key).invalidates([invalidates]))
            .route(public("/list", "list"))
            .route(public("/stats", "stats"))
    };
    for status in [200, 302, 500] {
        let (keep, gate) = (new_keep(named("engagement:{id}", "list")), Gate::closed());
        let service = stack(&keep, &slow(&gate, status));
        let paths = ["/engagements/1", "/list", "/stats"];
        hits(&service, &paths).await;
        let write = tokio::spawn(service.clone().oneshot(put("/engagements/1")));
        gate.arrival().await;
        keep.reload(&named("task:{id}", "stats"))
            .expect("a good table");
        hits(&service, &paths).await;
        gate.admit(1);
        let response = write.await.expect("no panic").expect("a response");
        assert_eq!(response.status(), status);
        let kept = status == 302;
        assert_eq!(
            hits(&service, &paths).await,
            [false, kept, kept],
            "{status}"
        );
        keep.reload(&named("engagement:{id}", "list"))
            .expect("a good table");
        assert!(!is_hit(&service, get("/engagements/1")).await, "{status}");
    }
}
