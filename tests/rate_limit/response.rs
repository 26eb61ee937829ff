use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tower::Layer;
use tower_keep::{
    Limit, RateLimitLayer, Table,
    rate_limit::{RateLimit, Reset},
    table::{Cost, mins, secs},
};

use super::{field, of_user, origin};
use crate::common::{client::send_to, keeps::new_keep, origin::Origin};

fn layer(limit: Limit) -> RateLimitLayer {
    RateLimitLayer::new(&new_keep(Table::new().limit(limit)))
}

fn service(limit: Limit) -> RateLimit<Origin> {
    layer(limit).layer(origin())
}

#[tokio::test(start_paused = true)]
async fn every_response_reports_the_remaining_quota() {
    let mut service = service(Limit::new("api", 2, mins(1)));
    let expected = [
        (200, r#""api";r=1;t=60"#, ""),
        (200, r#""api";r=0;t=60"#, ""),
        (429, r#""api";r=0;t=60"#, "60"),
    ];
    for (status, left, after) in expected {
        let response = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), status);
        assert_eq!(field(&response, "ratelimit"), left);
        assert_eq!(field(&response, "ratelimit-policy"), r#""api";q=2;w=60"#);
        assert_eq!(field(&response, "retry-after"), after);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_never_zero() {
    // Regression: truncated to whole seconds, 0.9 s became 0 and clients retried at once.
    for window in [1, 10, 999, 1000, 1001] {
        let mut service = service(Limit::new("api", 1, Duration::from_millis(window)));
        send_to(&mut service, of_user("/", "u")).await;
        let refusal = send_to(&mut service, of_user("/", "u")).await;
        assert_eq!(refusal.status(), 429);
        let after: u64 = field(&refusal, "retry-after").parse().expect("seconds");
        assert!(after >= 1 && after * 1000 >= window);
    }
}

#[tokio::test]
async fn a_cost_above_the_limit_is_refused_for_a_whole_window() {
    let mut service = service(Limit::new("api", 5, mins(2)).cost(Cost::Fixed(6)));
    let refusal = send_to(&mut service, of_user("/", "u")).await;
    assert_eq!(field(&refusal, "retry-after"), "120");
    assert_eq!(field(&refusal, "ratelimit"), r#""api";r=5"#);
}

#[tokio::test]
async fn a_refusal_is_problem_details() {
    let mut service = service(Limit::new("none", 0, mins(1)));
    let refusal = send_to(&mut service, of_user("/", "u")).await;
    assert_eq!(field(&refusal, "content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(refusal.body()).expect("JSON");
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["violated-policies"], serde_json::json!(["none"]));
}

#[tokio::test]
async fn the_application_can_replace_the_refusal() {
    let layer = layer(Limit::new("none", 0, mins(1))).refuse_with(|decision, parts| {
        let text = format!("{} {}", parts.uri.path(), decision.limit("none").is_some());
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    });
    let mut service = layer.layer(origin());
    let refusal = send_to(&mut service, of_user("/x", "u")).await;
    assert_eq!(
        (refusal.status().as_u16(), &refusal.body()[..]),
        (503, &b"/x true"[..])
    );
    assert_eq!(field(&refusal, "retry-after"), "60");
    assert_eq!(field(&refusal, "ratelimit"), r#""none";r=0"#);
}

#[tokio::test(start_paused = true)]
async fn the_older_fields_follow_the_configured_meaning_of_reset() {
    let limit = || Limit::new("api", 2, secs(10));
    let mut delta = layer(limit()).x_ratelimit(Reset::Delta).layer(origin());
    let response = send_to(&mut delta, of_user("/", "u")).await;
    let three = [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    assert_eq!(three.map(|name| field(&response, name)), ["2", "1", "10"]);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let mut epoch = layer(limit()).x_ratelimit(Reset::Epoch).layer(origin());
    let response = send_to(&mut epoch, of_user("/", "u")).await;
    let reset: u64 = field(&response, three[2]).parse().expect("seconds");
    assert!((now + 10..now + 20).contains(&reset), "{reset}, now {now}");
}

#[tokio::test(start_paused = true)]
async fn a_grpc_refusal_has_a_status_and_a_retry_pushback() {
    let mut service = service(Limit::new("api", 1, secs(3)));
    let call = || {
        let mut request = of_user("/pkg.Service/Method", "u");
        let kind = HeaderValue::from_static("application/grpc+proto");
        request.headers_mut().insert("content-type", kind);
        request
    };
    assert_eq!(send_to(&mut service, call()).await.status(), 200);
    let refusal = send_to(&mut service, call()).await;
    assert_eq!(refusal.status(), 200);
    assert!(refusal.body().is_empty());
    assert_eq!(field(&refusal, "content-type"), "application/grpc+proto");
    assert_eq!(field(&refusal, "grpc-status"), "8");
    assert_eq!(field(&refusal, "grpc-message"), "quota exceeded api");
    assert_eq!(field(&refusal, "grpc-retry-pushback-ms"), "3000");
    assert_eq!(field(&refusal, "retry-after"), "3");
    assert!(!field(&refusal, "grpc-status-details-bin").contains('='));
}

#[tokio::test]
async fn a_grpc_request_above_the_limit_must_not_be_retried() {
    let mut service = service(Limit::new("api", 1, secs(3)).cost(Cost::Fixed(2)));
    let mut request = of_user("/", "u");
    request
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let refusal = send_to(&mut service, request).await;
    assert_eq!(field(&refusal, "grpc-retry-pushback-ms"), "-1");
}
