//! Reloaded tables and the fence.

use std::time::Duration;

use tower_keep::{Route, Scope, Table, table::secs, testing::TestKeep};

use super::stack::{is_hit, stack};
use crate::common::{
    client::{get, put, send},
    origin::Origin,
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
