use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tower::Layer;
use tower_keep::{
    Keep, Limit, RateLimitLayer, Table,
    rate_limit::{RateLimit, Reset},
    table::{Cost, mins, secs},
};

use super::{Inner, field, of_user, send};

fn layer(limit: Limit) -> RateLimitLayer {
    RateLimitLayer::new(&Keep::new(Table::new().limit(limit)).expect("a valid table"))
}

fn service(limit: Limit) -> RateLimit<Inner> {
    layer(limit).layer(Inner::default())
}

#[tokio::test(start_paused = true)]
async fn every_answer_tells_what_is_left() {
    let mut service = service(Limit::new("api", 2, mins(1)));
    let expected = [
        (200, r#""api";r=1;t=120"#, ""),
        (200, r#""api";r=0;t=90"#, ""),
        (429, r#""api";r=0;t=90"#, "90"),
    ];
    for (status, left, after) in expected {
        let response = send(&mut service, of_user("/", "u")).await;
        assert_eq!(response.status(), status);
        assert_eq!(field(&response, "ratelimit"), left);
        assert_eq!(field(&response, "ratelimit-policy"), r#""api";q=2;w=60"#);
        assert_eq!(field(&response, "retry-after"), after);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_never_zero() {
    // Truncated to whole seconds, 0.9 s became 0 and clients came back at once.
    for window in [1, 10, 999, 1000, 1001] {
        let mut service = service(Limit::new("api", 1, Duration::from_millis(window)));
        send(&mut service, of_user("/", "u")).await;
        let refusal = send(&mut service, of_user("/", "u")).await;
        assert_eq!(refusal.status(), 429);
        let after: u64 = field(&refusal, "retry-after").parse().expect("seconds");
        assert!(after >= 1 && after * 1000 >= window);
    }
}

#[tokio::test]
async fn what_will_never_be_admitted_is_sent_away_for_a_window() {
    let mut service = service(Limit::new("api", 5, mins(2)).cost(Cost::Fixed(6)));
    let refusal = send(&mut service, of_user("/", "u")).await;
    assert_eq!(field(&refusal, "retry-after"), "120");
    assert_eq!(field(&refusal, "ratelimit"), r#""api";r=5"#);
}

#[tokio::test]
async fn a_refusal_is_problem_details() {
    let mut service = service(Limit::new("none", 0, mins(1)));
    let refusal = send(&mut service, of_user("/", "u")).await;
    assert_eq!(field(&refusal, "content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(refusal.body()).expect("JSON");
    let kind = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    assert_eq!(problem["type"], kind);
    assert_eq!(problem["violated-policies"], serde_json::json!(["none"]));
}

#[tokio::test]
async fn the_application_can_answer_instead() {
    let layer = layer(Limit::new("none", 0, mins(1))).refuse_with(|decision, parts| {
        let text = format!("{} {}", parts.uri.path(), decision.limit("none").is_some());
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    });
    let mut service = layer.layer(Inner::default());
    let refusal = send(&mut service, of_user("/x", "u")).await;
    assert_eq!(
        (refusal.status().as_u16(), &refusal.body()[..]),
        (503, &b"/x true"[..])
    );
    assert_eq!(field(&refusal, "retry-after"), "60");
    assert_eq!(field(&refusal, "ratelimit"), r#""none";r=0"#);
}

#[tokio::test(start_paused = true)]
async fn the_older_fields_say_what_their_reset_means() {
    let limit = || Limit::new("api", 2, secs(10));
    let mut delta = layer(limit())
        .x_ratelimit(Reset::Delta)
        .layer(Inner::default());
    let response = send(&mut delta, of_user("/", "u")).await;
    let three = [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ];
    assert_eq!(three.map(|name| field(&response, name)), ["2", "1", "20"]);

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let mut epoch = layer(limit())
        .x_ratelimit(Reset::Epoch)
        .layer(Inner::default());
    let response = send(&mut epoch, of_user("/", "u")).await;
    let reset: u64 = field(&response, three[2]).parse().expect("seconds");
    assert!((now + 10..now + 30).contains(&reset), "{reset}, now {now}");
}

#[tokio::test(start_paused = true)]
async fn grpc_gets_a_status_and_what_it_needs_to_retry() {
    let mut service = service(Limit::new("api", 1, secs(3)));
    let call = || {
        let mut request = of_user("/pkg.Service/Method", "u");
        let kind = HeaderValue::from_static("application/grpc+proto");
        request.headers_mut().insert("content-type", kind);
        request
    };
    assert_eq!(send(&mut service, call()).await.status(), 200);
    let refusal = send(&mut service, call()).await;
    assert_eq!(refusal.status(), 200);
    assert!(refusal.body().is_empty());
    assert_eq!(field(&refusal, "content-type"), "application/grpc+proto");
    assert_eq!(field(&refusal, "grpc-status"), "8");
    assert_eq!(field(&refusal, "grpc-message"), "quota exceeded api");
    assert_eq!(field(&refusal, "grpc-retry-pushback-ms"), "6000");
    assert_eq!(field(&refusal, "retry-after"), "6");
    assert!(!field(&refusal, "grpc-status-details-bin").contains('='));
}

#[tokio::test]
async fn grpc_is_told_not_to_retry_what_will_never_be_admitted() {
    let mut service = service(Limit::new("api", 1, secs(3)).cost(Cost::Fixed(2)));
    let mut request = of_user("/", "u");
    request
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let refusal = send(&mut service, request).await;
    assert_eq!(field(&refusal, "grpc-retry-pushback-ms"), "-1");
}
