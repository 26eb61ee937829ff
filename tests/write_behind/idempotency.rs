//! `Idempotency-Key`: a repeated request finds the first write.

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::Full;

use super::kit::{accepted_id, origin, problem, queueing, volatile_keep, waiting, write};
use crate::common::client::{as_user, send};

fn with_key(key: &str) -> Request<Full<Bytes>> {
    write(
        "POST",
        "/agents/7/activity",
        &[("idempotency-key", key)],
        "{}",
    )
}

#[tokio::test]
async fn a_repeated_request_finds_the_first_write() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let first = accepted_id(&send(&service, with_key("\"a-1\"")).await);
    let again = accepted_id(&send(&service, with_key("\"a-1\"")).await);
    assert_eq!(again, first);
    let bare = accepted_id(&send(&service, with_key("a-1")).await);
    assert_eq!(bare, first, "without quotes it is the same key");
    assert_eq!(waiting(&keep).await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_user_method_path_and_query() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let field = [("idempotency-key", "\"1\"")];
    let requests = [
        with_key("\"1\""),
        with_key("\"2\""),
        as_user("alice", with_key("\"1\"")),
        as_user("bob", with_key("\"1\"")),
        write("PUT", "/agents/7/activity", &field, "{}"),
        write("POST", "/agents/8/activity", &field, "{}"),
        write("POST", "/agents/7/activity?a=1", &field, "{}"),
    ];
    let mut ids = Vec::new();
    for request in requests {
        ids.push(accepted_id(&send(&service, request).await));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 7);
    assert_eq!(waiting(&keep).await, 7);
}

#[tokio::test]
async fn a_key_with_other_content_is_refused() {
    let (keep, origin) = (volatile_keep(), origin());
    let service = queueing(&keep, &origin);
    accepted_id(&send(&service, with_key("\"1\"")).await);
    let other_content = with_key("\"1\"").map(|_| Full::from("[]"));
    let mut other_type = with_key("\"1\"");
    let json = "application/json".parse().expect("a value");
    other_type.headers_mut().insert("content-type", json);
    for request in [other_content, other_type] {
        let refused = send(&service, request).await;
        assert_eq!(problem(&refused), (422, "idempotency-key-reused".into()));
    }
    assert_eq!(waiting(&keep).await, 1);
    assert_eq!(origin.calls(), 0);
}

#[tokio::test]
async fn malformed_keys_are_refused() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let long = format!("\"{}\"", "x".repeat(256));
    for key in ["", "\"\"", "\"open", "a b", "a, b", "\"a\" \"b\"", &long] {
        let refused = send(&service, with_key(key)).await;
        assert_eq!(problem(&refused), (400, "about:blank".into()), "{key}");
        assert!(refused.body.contains("Idempotency-Key"), "{}", refused.body);
    }
    let mut twice = with_key("\"1\"");
    let value = "\"1\"".parse().expect("a value");
    twice.headers_mut().append("idempotency-key", value);
    assert_eq!(send(&service, twice).await.status, 400);
    let longest = format!("\"{}\"", "x".repeat(255));
    accepted_id(&send(&service, with_key(&longest)).await);
    assert_eq!(waiting(&keep).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_with_one_key_are_one_write() {
    let keep = volatile_keep();
    let service = queueing(&keep, &origin());
    let sent = (0..50).map(|_| {
        let service = service.clone();
        tokio::spawn(async move { accepted_id(&send(&service, with_key("\"1\"")).await) })
    });
    let ids = join_all(sent)
        .await
        .into_iter()
        .map(|id| id.expect("no panic"));
    let mut ids: Vec<_> = ids.collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(waiting(&keep).await, 1);
}
