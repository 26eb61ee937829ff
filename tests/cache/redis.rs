//! Several keeps over one Redis.

use tower_keep::{Keep, Route, Scope, Table, table::mins};

use crate::{
    common::{
        client::{get, request, send},
        keeps::redis_keep,
        origin::{Origin, cached},
    },
    support::{RedisServer, until},
};

fn table() -> Table {
    Table::new().ttl("engagement", mins(30)).route(
        Route::new("/engagements/{id}")
            .key("engagement:{id}")
            .scope(Scope::Public),
    )
}

async fn keep(server: &RedisServer) -> Keep {
    redis_keep(server.url(), table()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_stored_by_one_process_is_a_hit_in_another() {
    let server = RedisServer::start();
    let (one, other) = (keep(&server).await, keep(&server).await);
    let origin = Origin::with_fields(&[("content-type", "application/json")]);
    let first = send(&cached(&one, &origin), get("/engagements/42")).await;
    assert_eq!(first.cache_status(), "tower-keep; fwd=uri-miss; stored");
    let second = send(&cached(&other, &origin), get("/engagements/42")).await;
    assert!(
        second.cache_status().starts_with("tower-keep; hit"),
        "{second:?}"
    );
    assert_eq!(second.body, "call 1");
    assert_eq!(origin.calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_one_process_invalidates_in_another() {
    let server = RedisServer::start();
    let (one, other) = (keep(&server).await, keep(&server).await);
    let origin = Origin::with_fields(&[]);
    let (here, there) = (cached(&one, &origin), cached(&other, &origin));
    send(&here, get("/engagements/42")).await;
    send(&there, get("/engagements/42")).await;
    send(&here, request("PUT", "/engagements/42", &[])).await;
    until("the write at the other", || async {
        let seen = send(&there, get("/engagements/42")).await;
        (seen.body != "call 1").then_some(())
    })
    .await;
    assert_ne!(send(&here, get("/engagements/42")).await.body, "call 1");
}
