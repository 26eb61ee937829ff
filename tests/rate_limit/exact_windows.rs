//! The sliding window admits all that its limit allows, and no more.

use std::time::Duration;

use http::StatusCode;
use tower::Layer;
use tower_keep::{
    Limit, RateLimitLayer, Table,
    table::{Cost, mins},
};

use super::{admitted, field, of_user, origin};
use crate::{
    common::{
        client::send_to,
        keeps::{new_keep, redis_keep},
    },
    support::RedisServer,
};

#[tokio::test(start_paused = true)]
async fn one_request_a_minute_is_always_admitted_by_one_a_minute() {
    // Regression: every second one was refused.
    let keep = new_keep(Table::new().limit(Limit::new("api", 1, mins(1))));
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    for minute in 0..20 {
        let response = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), StatusCode::OK, "minute {minute}");
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_five_at_once_and_a_minute_s_rest_the_next_is_admitted() {
    // Regression: it was refused, and `Retry-After` said 72 s.
    let keep = new_keep(Table::new().limit(Limit::new("api", 5, mins(1))));
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    for _ in 0..3 {
        assert_eq!(admitted(&mut service, 9, || of_user("/", "u")).await, 5);
        let refusal = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(field(&refusal, "retry-after"), "60");
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test]
async fn retry_after_never_exceeds_the_window_in_redis() {
    let server = RedisServer::start();
    let limits = [
        Limit::new("one", 1, mins(1)).path("/one"),
        Limit::new("many", 1_000, mins(1))
            .path("/many")
            .cost(Cost::Fixed(400)),
    ];
    let table = limits.into_iter().fold(Table::new(), Table::limit);
    let keep = redis_keep(server.url(), table).await;
    let mut service = RateLimitLayer::new(&keep).layer(origin());
    for (path, limit) in [("/one", 1), ("/many", 2)] {
        for n in 0..2 * limit {
            let response = send_to(&mut service, of_user(path, "u")).await;
            let left = field(&response, "ratelimit");
            let seconds = |text: &str| text.parse::<u64>().expect("seconds");
            let reset = left.split_once(";t=").expect("a reset").1;
            assert!((1..=60).contains(&seconds(reset)), "{left}");
            if n < limit {
                assert_eq!(response.status(), StatusCode::OK, "{path} {n}");
            } else {
                assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
                let after = seconds(field(&response, "retry-after"));
                assert!((1..=60).contains(&after), "{path} {after}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refund_frees_what_its_request_used() {
    let limit = Limit::new("api", 2, mins(1)).refund_on(["5xx"]);
    let keep = new_keep(Table::new().limit(limit));
    let failing = tower::service_fn(async |request: http::Request<_>| {
        let _: &http_body_util::Full<bytes::Bytes> = request.body();
        let status = if request.uri().path() == "/failing" {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::OK
        };
        let response = http::Response::builder().status(status);
        let response = response.body(http_body_util::Full::<bytes::Bytes>::default());
        Ok::<_, std::convert::Infallible>(response.expect("a response"))
    });
    let mut service = RateLimitLayer::new(&keep).layer(failing);
    for path in ["/", "/failing", "/failing", "/failing", "/"] {
        let response = send_to(&mut service, of_user(path, "u")).await;
        assert_ne!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let refusal = send_to(&mut service, of_user("/", "u")).await;
    assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(field(&refusal, "retry-after"), "10");
}
