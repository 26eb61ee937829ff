//! Several keeps on one Redis.

use tower_keep::{Keep, Route, Scope, Table, table::mins};

use super::kit::{Origin, cached, get, request, send};
use crate::{
    patience::patient_keep,
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
    patient_keep(server.url(), table()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fills_the_other_hits() {
    let server = RedisServer::start();
    let (one, other) = (keep(&server).await, keep(&server).await);
    let origin = Origin::with(&[("content-type", "application/json")]);
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
async fn a_write_at_one_reaches_the_other() {
    let server = RedisServer::start();
    let (one, other) = (keep(&server).await, keep(&server).await);
    let origin = Origin::with(&[]);
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
