//! The status of a write.

use std::collections::BTreeMap;

use axum::{Router, body::Body, routing::post as post_to};
use http::Request;
use tower_keep::{Keep, WriteBehindLayer, table::Behind, write_behind::WriteStatusService};

use super::kit::{accepted_id, json, origin, post, problem, queueing, table, volatile_keep};
use crate::common::{
    client::{TestResponse, as_user, get, request, send},
    keeps::new_keep,
};

/// The fields and the body, to compare responses.
fn parts(response: &TestResponse) -> (u16, BTreeMap<String, String>, &str) {
    let fields = response
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()));
    (response.status, fields.collect(), &response.body)
}

#[tokio::test]
async fn the_layer_and_the_service_show_the_status_of_a_waiting_write() {
    let (keep, origin) = (volatile_keep(), origin());
    let layer = queueing(&keep, &origin);
    let id = accepted_id(&send(&layer, post("{}")).await);
    let path = format!("/writes/{id}");
    let by_layer = send(&layer, get(&path)).await;
    let by_service = send(&WriteStatusService::new(&keep), get(&path)).await;
    for response in [&by_layer, &by_service] {
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["retry-after"], "1");
        assert_eq!(response.headers["cache-control"], "no-store");
        assert_eq!(response.headers["content-type"], "application/json");
        let status = json(response);
        assert_eq!(status["id"], id);
        assert_eq!(status["state"], "waiting");
        assert_eq!(status["attempts"], 0);
        let accepted = status["accepted"].as_str().expect("a time");
        assert_eq!((accepted.len(), &accepted[23..]), (24, "Z"), "{accepted}");
        assert_eq!(status.get("ended"), None);
        assert_eq!(status.get("response"), None);
    }
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn only_its_user_sees_a_write() {
    let keep = volatile_keep();
    let layer = queueing(&keep, &origin());
    let service = WriteStatusService::new(&keep);
    let id = accepted_id(&send(&layer, as_user("alice", post("{}"))).await);
    let path = format!("/writes/{id}");
    assert_eq!(
        send(&service, as_user("alice", get(&path))).await.status,
        200
    );

    let unknown = send(&service, get("/writes/00000000000000000000000000000000")).await;
    assert_eq!(problem(&unknown), (404, "about:blank".into()));
    assert_eq!(unknown.headers["cache-control"], "no-store");
    for request in [get(&path), as_user("bob", get(&path))] {
        let other = send(&service, request).await;
        assert_eq!(parts(&other), parts(&unknown));
    }
    let other = send(&layer, as_user("bob", get(&path))).await;
    assert_eq!(parts(&other), parts(&unknown));
    // A partition that does not exist.
    let path = format!("/writes/{}", "f".repeat(32));
    assert_eq!(parts(&send(&layer, get(&path)).await), parts(&unknown));
    let not_an_id = send(&service, get("/writes/new")).await;
    assert_eq!(parts(&not_an_id), parts(&unknown));
}

#[tokio::test]
async fn a_head_request_gets_the_same_fields_and_other_methods_are_refused() {
    let keep = volatile_keep();
    let layer = queueing(&keep, &origin());
    let id = accepted_id(&send(&layer, post("{}")).await);
    let path = format!("/writes/{id}");
    let got = send(&layer, get(&path)).await;
    let head = send(&layer, request("HEAD", &path, &[])).await;
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.headers["content-length"], got.body.len().to_string());
    assert_eq!(head.headers["retry-after"], "1");
    for method in ["DELETE", "POST", "OPTIONS"] {
        let refused = send(&layer, request(method, &path, &[])).await;
        assert_eq!(problem(&refused), (405, "about:blank".into()), "{method}");
        assert_eq!(refused.headers["allow"], "GET, HEAD");
    }
}

#[tokio::test]
async fn paths_that_are_no_status_pass_through() {
    let (keep, origin) = (volatile_keep(), origin());
    let layer = queueing(&keep, &origin);
    for path in ["/writes", "/writes/", "/writes/new", "/writes/0/1"] {
        assert_eq!(
            send(&layer, get(path)).await.headers["x-origin"],
            "yes",
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_path_of_the_status_is_configurable() {
    let behind = Behind::new().volatile(true).status_path("/api/v1/jobs");
    let keep = new_keep(table().behind(behind));
    let layer = queueing(&keep, &origin());
    let accepted = send(&layer, post("{}")).await;
    let location = accepted.headers["location"].to_str().expect("text");
    assert!(location.starts_with("/api/v1/jobs/"), "{location}");
    assert_eq!(send(&layer, get(location)).await.status, 200);
}

fn axum_request(method: &str, path: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::empty()).expect("a request")
}

async fn send_to_axum(app: &Router, method: &str, path: &str) -> TestResponse {
    send(app, axum_request(method, path)).await
}

#[tokio::test]
async fn the_status_is_found_in_routers_of_axum() {
    let keep = volatile_keep();
    let handler = || post_to(async || "applied").route_layer(WriteBehindLayer::new(&keep));
    let nested = Router::new()
        .nest("/agents", Router::new().route("/{id}/activity", handler()))
        .nest_service("/writes", WriteStatusService::new(&keep));
    let routed = Router::new()
        .route("/agents/{id}/activity", handler())
        .route_service("/writes/{id}", WriteStatusService::new(&keep));
    let layered = Router::new()
        .route("/agents/{id}/activity", post_to(async || "applied"))
        .fallback(async || "fallback")
        .layer(WriteBehindLayer::new(&keep));
    for app in [nested, routed, layered] {
        let accepted = send_to_axum(&app, "POST", "/agents/7/activity").await;
        let path = format!("/writes/{}", accepted_id(&accepted));
        let status = send_to_axum(&app, "GET", &path).await;
        assert_eq!(json(&status)["state"], "waiting");
    }
}

#[tokio::test]
async fn another_keep_does_not_know_the_write() {
    let keep = volatile_keep();
    let id = accepted_id(&send(&queueing(&keep, &origin()), post("{}")).await);
    let other = WriteStatusService::new(&Keep::default());
    let status = send(&other, get(&format!("/writes/{id}"))).await;
    assert_eq!(status.status, 404);
}
