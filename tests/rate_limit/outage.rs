//! A Redis that is slow or read-only, loses its data, or fails in the middle of a decision.

use std::{future::poll_fn, task::Poll, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_keep::{
    Keep, Key, Limit, RateLimitLayer, RedisStore, Table,
    rate_limit::{Quota, RateLimit},
    table::{By, OnError, mins},
};

use super::{admitted, of_user, origin};
use crate::{
    common::{client::send_to, origin::Origin},
    support::{RedisServer, until},
};

async fn service(
    server: &RedisServer,
    deadline: Duration,
    limits: impl IntoIterator<Item = Limit>,
) -> (Keep, RateLimit<Origin>) {
    let store = RedisStore::builder(server.url()).deadline(deadline);
    let store = store.connect().await.expect("connects");
    let table = limits.into_iter().fold(Table::new(), Table::limit);
    let keep = Keep::with_store(table, store).await.expect("a good table");
    let service = RateLimitLayer::new(&keep).layer(origin());
    (keep, service)
}

fn one_of_each() -> [Limit; 3] {
    let limit = |name: &str| Limit::new(name, 2, mins(10)).path(format!("/{name}"));
    [
        limit("local"),
        limit("open").on_error(OnError::Open),
        limit("closed").on_error(OnError::Closed),
    ]
}

/// Checks each limit's `on_error` without Redis.
async fn check_on_error(service: &mut RateLimit<Origin>, user: &str) {
    let closed = send_to(service, of_user("/closed", user)).await.status();
    assert_eq!(closed, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(admitted(service, 9, || of_user("/open", user)).await, 9);
    assert_eq!(admitted(service, 9, || of_user("/local", user)).await, 2);
}

async fn until_it_counts_again(service: &RateLimit<Origin>, user: &str) {
    // A new user each time: Redis counts a call even if its reply comes too late.
    let mut users = (0..).map(|n| format!("{user}-{n}"));
    until("redis to count again", || {
        let user = users.next().unwrap_or_default();
        async move {
            let response = send_to(&mut service.clone(), of_user("/closed", &user)).await;
            (response.status() == StatusCode::OK).then_some(())
        }
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_does_not_reply_is_awaited_until_the_deadline() {
    let server = RedisServer::start();
    let deadline = Duration::from_millis(50);
    let (_keep, mut service) = service(&server, deadline, one_of_each()).await;
    until_it_counts_again(&service, "before").await;
    // Connections stay open, so a caller without a deadline would wait forever.
    server.stop_signal();
    let check = check_on_error(&mut service, "u");
    let checked = tokio::time::timeout(Duration::from_secs(20), check).await;
    server.continue_signal();
    checked.expect("every request was answered");
    until_it_counts_again(&service, "after").await;
}

#[tokio::test]
async fn a_redis_that_became_a_replica_counts_as_unavailable() {
    let server = RedisServer::start();
    let deadline = Duration::from_secs(2);
    let (_keep, mut service) = service(&server, deadline, one_of_each()).await;
    until_it_counts_again(&service, "before").await;
    // It replies READONLY to every write.
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    check_on_error(&mut service, "u").await;
    server.command(&["REPLICAOF", "NO", "ONE"]);
    until_it_counts_again(&service, "after").await;
}

#[tokio::test]
async fn counters_lost_by_redis_start_again_without_an_error() {
    let mut server = RedisServer::start();
    let deadline = Duration::from_secs(2);
    let (_keep, mut service) = service(&server, deadline, one_of_each()).await;
    let used = admitted(&mut service, 1, || of_user("/local", "u")).await;
    assert_eq!(used, 1);
    server.kill();
    server.restart();
    until_it_counts_again(&service, "after").await;
    let after_loss = admitted(&mut service, 9, || of_user("/local", "u")).await;
    assert_eq!(after_loss, 2);
    let closed = send_to(&mut service, of_user("/closed", "u"))
        .await
        .status();
    assert_eq!(closed, StatusCode::OK);
}

#[tokio::test]
async fn charges_made_before_redis_failed_are_refunded() {
    let server = RedisServer::start();
    let limits = [
        Limit::new("user", 10, mins(1)),
        Limit::new("everybody", 500, mins(1))
            .by([By::Route])
            .on_error(OnError::Closed),
    ];
    let deadline = Duration::from_secs(2);
    let (keep, mut service) = service(&server, deadline, limits).await;
    let left = async || {
        let key = Key::new("user").id("u");
        let left = keep.peek_rate_limit(&key, Quota::per_minute(10)).await;
        left.remaining()
    };
    let first = send_to(&mut service, of_user("/", "u")).await.status();
    assert_eq!((first, left().await), (StatusCode::OK, 9));
    // the first of the two subjects is counted, the second is not
    let keys = [
        "ACL",
        "SETUSER",
        "default",
        "resetkeys",
        "~ratelimit:user:*",
    ];
    server.command(&keys);
    let writes = || server.calls("set") + server.calls("setrange");
    let charged = writes();
    let refused = send_to(&mut service, of_user("/", "u")).await.status();
    assert_eq!(refused, StatusCode::SERVICE_UNAVAILABLE);
    until("the refund", || async {
        // one for the charge, one to give it back
        (writes() >= charged + 2).then_some(())
    })
    .await;
    assert_eq!(left().await, 9);
}

#[tokio::test]
async fn scripts_flushed_between_two_requests_are_loaded_again() {
    let server = RedisServer::start();
    let deadline = Duration::from_secs(2);
    let limits = [Limit::new("api", 5, mins(10)).on_error(OnError::Closed)];
    let (_keep, mut service) = service(&server, deadline, limits).await;
    let mut total = 0;
    for _ in 0..8 {
        server.command(&["SCRIPT", "FLUSH"]);
        total += admitted(&mut service, 1, || of_user("/", "u")).await;
    }
    assert_eq!(total, 5);
}

#[tokio::test]
async fn readiness_does_not_call_redis() {
    let server = RedisServer::start();
    let deadline = Duration::from_secs(2);
    let (_keep, mut service) = service(&server, deadline, one_of_each()).await;
    until_it_counts_again(&service, "before").await;
    let asked = server.calls("evalsha");
    server.stop_signal();
    let ready = poll_fn(|cx| {
        let mut ready = || Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx).is_ready();
        Poll::Ready((0..10).all(|_| ready()))
    })
    .await;
    server.continue_signal();
    assert!(ready, "whether Redis replies or not");
    assert_eq!(server.calls("evalsha"), asked);
}
