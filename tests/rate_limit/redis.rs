//! Limits shared through Redis.

use std::{
    future::{Future, poll_fn},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_keep::{
    Keep, Key, Limit, RateLimitLayer, Table,
    rate_limit::{Quota, RateLimit},
    table::{Algorithm, By, OnError, hours, mins},
};

use super::{admitted, field, of_user, origin};
use crate::{
    common::{client::send_to, keeps::redis_keep, origin::Origin},
    support::{RedisServer, until},
};

async fn keep(server: &RedisServer, limits: impl IntoIterator<Item = Limit>) -> Keep {
    let table = limits.into_iter().fold(Table::new(), Table::limit);
    redis_keep(server.url(), table).await
}

fn service(keep: &Keep) -> RateLimit<Origin> {
    RateLimitLayer::new(keep).layer(origin())
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
async fn a_refused_subject_is_refused_without_another_call_to_redis() {
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("api", 2, mins(10))]).await;
    let mut service = service(&keep);
    assert_eq!(admitted(&mut service, 3, || of_user("/", "u")).await, 2);
    let asked = server.calls("evalsha");
    for _ in 0..100 {
        let refusal = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(field(&refusal, "ratelimit").starts_with(r#""api";r=0;t="#));
    }
    assert_eq!(server.calls("evalsha"), asked);
    assert_eq!(
        admitted(&mut service, 1, || of_user("/", "v")).await,
        1,
        "others are asked for"
    );
    // A reset in this process takes effect at once.
    let key = Key::new("api").id("u");
    keep.reset_rate_limit(&key).await.expect("reset");
    assert_eq!(admitted(&mut service, 3, || of_user("/", "u")).await, 2);
}

#[tokio::test]
async fn without_redis_each_limit_follows_its_on_error() {
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
    let refusal = send_to(&mut service, of_user("/closed", "u")).await;
    assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(field(&refusal, "retry-after"), "1");
    let problem: serde_json::Value = serde_json::from_slice(refusal.body()).expect("JSON");
    let kind = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!(problem["type"], kind);
    // When Redis is back, it counts again.
    server.restart();
    let open = || async {
        let mut service = service.clone();
        let response = send_to(&mut service, of_user("/closed", "v")).await;
        (response.status() == StatusCode::OK).then_some(())
    };
    until("redis to count again", open).await;
}

#[tokio::test]
async fn a_refused_subject_stays_refused_when_redis_becomes_unavailable() {
    let mut server = RedisServer::start();
    let keep = keep(&server, [Limit::new("api", 2, mins(10))]).await;
    let mut service = service(&keep);
    assert_eq!(admitted(&mut service, 3, || of_user("/", "u")).await, 2);
    server.kill();
    assert_eq!(admitted(&mut service, 9, || of_user("/", "u")).await, 0);
}

#[tokio::test]
async fn a_request_dropped_before_the_inner_call_takes_no_quota() {
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
        poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut limited, cx))
            .await
            .expect("ready");
        let mut future = Box::pin(limited.call(of_user("/", "u")));
        let poll = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending()));
        assert!(poll.await, "redis is stopped");
        drop(future);
    }
    server.continue_signal();
    // The first was charged, and the others were charged and refunded.
    until("the refunds", || async {
        let writes = server.calls("set") + server.calls("setrange");
        (writes >= 7 && keep.peek_rate_limit(&key, quota).await.remaining() == 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refusal_by_redis_releases_the_permit_of_the_inner_service() {
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("none", 0, mins(10)).path("/none")]).await;
    let inner = ConcurrencyLimit::new(origin(), 1);
    let service = RateLimitLayer::new(&keep).layer(inner);
    let mut one = service.clone();
    for user in ["a", "b", "c"] {
        assert_eq!(
            send_to(&mut one, of_user("/none", user)).await.status(),
            429
        );
        let other = service.clone().oneshot(of_user("/", "u"));
        let other = tokio::time::timeout(Duration::from_secs(5), other).await;
        assert_eq!(other.expect("a permit").expect("a response").status(), 200);
    }
}

#[tokio::test]
async fn the_instance_that_was_made_ready_waits_for_redis_and_is_called() {
    // Calling a clone of it panics in `ConcurrencyLimit`.
    let server = RedisServer::start();
    let keep = keep(&server, [Limit::new("all", 100, mins(10))]).await;
    let inner = ConcurrencyLimit::new(origin(), 1);
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
    assert_eq!(send_to(&mut service, failing).await.status(), 500);
    let key = Key::new("user").id("u");
    let quota = Quota::new(3, Duration::from_secs(600)).expect("in range");
    until("the refund", || async {
        (keep.peek_rate_limit(&key, quota).await.remaining() == 3).then_some(())
    })
    .await;
    // Other users' requests use up the limit of the route; the charges of this user are refunded.
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
async fn limits_checked_in_code_are_counted_in_redis() {
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
    // A counter without an expiry gets one again.
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
