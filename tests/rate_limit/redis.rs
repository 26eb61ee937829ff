//! Limits that processes share.

use std::{future::Future, task::Poll, time::Duration};

use http::StatusCode;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_keep::{
    Keep, Key, Limit, RateLimitLayer, Table,
    rate_limit::{Quota, RateLimit},
    table::{Algorithm, By, OnError, hours, mins},
};

use super::{Inner, admitted, field, of_user, send};
use crate::{
    patience::patient_keep,
    support::{RedisServer, until},
};

async fn keep(server: &RedisServer, limits: impl IntoIterator<Item = Limit>) -> Keep {
    let table = limits.into_iter().fold(Table::new(), Table::limit);
    patient_keep(server.url(), table).await
}

fn service(keep: &Keep) -> RateLimit<Inner> {
    RateLimitLayer::new(keep).layer(Inner::default())
}

#[tokio::test]
async fn two_keeps_on_one_redis_share_a_limit() {
    let server = RedisServer::start();
    for algorithm in [
        Algorithm::SlidingWindow,
        Algorithm::FixedWindow,
        Algorithm::Gcra,
    ] {
        let limit = || [Limit::new("api", 20, hours(20)).algorithm(algorithm)];
        let (one, other) = (keep(&server, limit()).await, keep(&server, limit()).await);
        let (mut one, mut other) = (service(&one), service(&other));
        let user = format!("{algorithm:?}");
        let mut total = 0;
        for _ in 0..8 {
            total += admitted(&mut one, 3, || of_user("/", &user)).await;
            total += admitted(&mut other, 3, || of_user("/", &user)).await;
        }
        assert_eq!(total, 20, "{algorithm:?}");
        let key = format!("ratelimit:api:{{{user}}}");
        assert_eq!(server.command(&["EXISTS", &key]).text(), "1");
    }
}

#[tokio::test]
async fn whoever_was_refused_is_refused_without_asking_again() {
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("api", 2, mins(10))]).await;
    let mut service = service(&keep);
    assert_eq!(admitted(&mut service, 3, || of_user("/", "u")).await, 2);
    let asked = server.calls("evalsha");
    for _ in 0..100 {
        let refusal = send(&mut service, of_user("/", "u")).await;
        assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(field(&refusal, "ratelimit").starts_with(r#""api";r=0;t="#));
    }
    assert_eq!(server.calls("evalsha"), asked);
    assert_eq!(
        admitted(&mut service, 1, || of_user("/", "v")).await,
        1,
        "others are asked for"
    );
    // a reset at this process is noticed at once
    let key = Key::new("api").id("u");
    keep.reset_rate_limit(&key).await.expect("reset");
    assert_eq!(admitted(&mut service, 3, || of_user("/", "u")).await, 2);
}

#[tokio::test]
async fn without_redis_each_limit_does_as_it_says() {
    let mut server = RedisServer::start();
    let limits = [
        Limit::new("local", 2, mins(10)).path("/local"),
        Limit::new("open", 2, mins(10))
            .path("/open")
            .on_error(OnError::Open),
        Limit::new("closed", 2, mins(10))
            .path("/closed")
            .on_error(OnError::Closed),
        Limit::new("shadow", 0, mins(10))
            .path("/shadow")
            .on_error(OnError::Closed)
            .shadow(true),
    ];
    let keep = keep(&server, limits).await;
    let mut service = service(&keep);
    assert_eq!(
        admitted(&mut service, 1, || of_user("/local", "u")).await,
        1
    );
    server.kill();
    assert_eq!(
        admitted(&mut service, 9, || of_user("/local", "u")).await,
        2
    );
    assert_eq!(admitted(&mut service, 9, || of_user("/open", "u")).await, 9);
    assert_eq!(
        admitted(&mut service, 9, || of_user("/shadow", "u")).await,
        9
    );
    let refusal = send(&mut service, of_user("/closed", "u")).await;
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(field(&refusal, "retry-after"), "1");
    let problem: serde_json::Value = serde_json::from_slice(refusal.body()).expect("JSON");
    let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!(problem["type"], kind);
    // and when it comes back, it counts again
    server.restart();
    let open = || async {
        let mut service = service.clone();
        let response = send(&mut service, of_user("/closed", "v")).await;
        (response.status() == StatusCode::OK).then_some(())
    };
    until("redis to count again", open).await;
}

#[tokio::test]
async fn who_was_refused_stays_refused_when_redis_goes_away() {
    let mut server = RedisServer::start();
    let keep = keep(&server, [Limit::new("api", 2, mins(10))]).await;
    let mut service = service(&keep);
    assert_eq!(admitted(&mut service, 3, || of_user("/", "u")).await, 2);
    server.kill();
    assert_eq!(admitted(&mut service, 9, || of_user("/", "u")).await, 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_before_it_went_in_takes_no_quota() {
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("api", 5, mins(10))]).await;
    let mut limited = service(&keep);
    assert_eq!(admitted(&mut limited, 1, || of_user("/", "u")).await, 1);
    let (key, quota) = (
        Key::new("api").id("u"),
        Quota::new(5, Duration::from_secs(600)),
    );
    let quota = quota.expect("in range");
    server.stop_signal();
    for _ in 0..3 {
        let future = limited
            .ready()
            .await
            .expect("ready")
            .call(of_user("/", "u"));
        let mut future = Box::pin(future);
        let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending()));
        assert!(poll.await, "redis is stopped");
        drop(future);
    }
    server.continue_signal();
    // all were charged and given back
    until("the refunds", || async {
        (server.calls("setrange") >= 6 && keep.peek_rate_limit(&key, quota).await.remaining() == 4)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_permit_is_given_up_when_redis_refuses() {
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("none", 0, mins(10)).path("/none")]).await;
    let inner = ConcurrencyLimit::new(Inner::default(), 1);
    let service = RateLimitLayer::new(&keep).layer(inner);
    let mut one = service.clone();
    for user in ["a", "b", "c"] {
        assert_eq!(send(&mut one, of_user("/none", user)).await.status(), 429);
        let other = service.clone().oneshot(of_user("/", "u"));
        let other = tokio::time::timeout(Duration::from_secs(5), other).await;
        assert_eq!(other.expect("a permit").expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn the_instance_that_was_made_ready_waits_for_redis_and_is_called() {
    // Calling a clone of it panics in `ConcurrencyLimit`.
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("all", 100, mins(10))]).await;
    let inner = ConcurrencyLimit::new(Inner::default(), 1);
    let mut service = RateLimitLayer::new(&keep).layer(inner);
    assert_eq!(admitted(&mut service, 10, || of_user("/", "u")).await, 10);
}

#[tokio::test]
async fn refunds_reach_redis() {
    let server = RedisServer::start();
    let limits = [
        Limit::new("user", 3, mins(10)).refund_on(["5xx"]),
        Limit::new("route", 5, mins(10)).by([By::Route]),
    ];
    let keep = keep(&server, limits).await;
    let mut service = service(&keep);
    let mut failing = of_user("/", "u");
    failing
        .headers_mut()
        .insert("x-answer", http::HeaderValue::from_static("500"));
    assert_eq!(send(&mut service, failing).await.status(), 500);
    let key = Key::new("user").id("u");
    let quota = Quota::new(3, Duration::from_secs(600)).expect("in range");
    until("the refund", || async {
        (keep.peek_rate_limit(&key, quota).await.remaining() == 3).then_some(())
    })
    .await;
    // other users' requests spend what the route allows; this one's are given back
    for user in ["a", "b", "c", "d"] {
        assert_eq!(admitted(&mut service, 1, || of_user("/", user)).await, 1);
    }
    assert_eq!(admitted(&mut service, 1, || of_user("/", "u")).await, 0);
    until("the refund", || async {
        (keep.peek_rate_limit(&key, quota).await.remaining() == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_application_counts_in_redis_too() {
    let server = RedisServer::start();
    let (one, other) = (keep(&server, []).await, keep(&server, []).await);
    let key = Key::new("login").id("user-123");
    let mut allowed = 0;
    for _ in 0..5 {
        allowed += usize::from(one.rate_limit(&key, Quota::per_hour(6)).await.allowed());
        allowed += usize::from(other.rate_limit(&key, Quota::per_hour(6)).await.allowed());
    }
    assert_eq!(allowed, 6);
    assert_eq!(
        server
            .command(&["EXISTS", "ratelimit:login:{user-123}"])
            .text(),
        "1"
    );
    assert_eq!(
        one.peek_rate_limit(&key, Quota::per_hour(6))
            .await
            .remaining(),
        0
    );

    let visits = Key::new("visits").id(7);
    let minute = Duration::from_secs(60);
    assert_eq!(one.increment(&visits, 2, minute).await.expect("a sum"), 2);
    assert_eq!(other.increment(&visits, 3, minute).await.expect("a sum"), 5);
    assert_eq!(server.command(&["GET", "visits:7"]).text(), "5");
    let left: i64 = server
        .command(&["TTL", "visits:7"])
        .text()
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&left));
    // one that has lost its expiry gets it back
    server.command(&["PERSIST", "visits:7"]);
    assert_eq!(one.increment(&visits, 1, minute).await.expect("a sum"), 6);
    assert!(server.command(&["TTL", "visits:7"]).text() != "-1");
    server.command(&["RPUSH", "list:1", "x"]);
    let error = one
        .increment(&Key::new("list").id(1), 1, minute)
        .await
        .expect_err("no counter");
    assert!(!error.is_unavailable(), "{error}");
}
