//! The queue for code that is not a request handler.

use http::Request;
use tower_keep::{Keep, Key, UserId, table::Behind, write_behind::WriteState};

use super::kit::{accepted_id, origin, post, queueing, table, volatile_keep, write};
use crate::common::{client::send, keeps::new_keep};

fn activity(content: &'static str) -> Request<&'static str> {
    let request = Request::post("/agents/7/activity").header("content-type", "text/plain");
    request.body(content).expect("a request")
}

#[tokio::test]
async fn code_and_clients_share_the_queue() {
    let keep = volatile_keep();
    let queue = keep.queue();
    let first = queue.enqueue(activity("1")).await.expect("accepted");
    let second = accepted_id(&send(&queueing(&keep, &origin()), post("2")).await);
    let key = Key::new("agent").id(7).sub("activity");
    let pending = queue.pending(&key).await.expect("an answer");
    let ids: Vec<_> = pending.iter().map(|write| write.id.to_string()).collect();
    assert_eq!(ids, [first.to_string(), second]);
    assert_eq!(pending[0].request.headers()["content-type"], "text/plain");

    let counts = queue.counts().await.expect("counts");
    assert_eq!((counts.waiting, counts.in_flight, counts.dead), (2, 0, 0));
    assert!(counts.bytes > 0);
}

#[tokio::test]
async fn an_enqueued_write_has_a_user_and_a_status() {
    let keep = volatile_keep();
    let mut request = activity("1");
    request.extensions_mut().insert(UserId::new("alice"));
    let id = keep
        .queue()
        .enqueue(request)
        .vouched()
        .await
        .expect("accepted");
    let status = keep.queue().status(id).await.expect("an answer");
    let status = status.expect("a known write");
    assert_eq!(status.id, id);
    assert_eq!(status.state, WriteState::Waiting);
    assert_eq!(status.user.as_deref(), Some("alice"));
    assert_eq!((status.attempts, status.ended), (0, None));
    assert!(status.response.is_none());
}

#[tokio::test]
async fn an_idempotency_key_makes_enqueueing_repeatable() {
    let keep = volatile_keep();
    let enqueue = async |content| {
        let mut request = activity(content);
        let key = "\"job-1\"".parse().expect("a value");
        request.headers_mut().insert("idempotency-key", key);
        keep.queue().enqueue(request).await
    };
    let first = enqueue("1").await.expect("accepted");
    assert_eq!(enqueue("1").await.expect("accepted"), first);
    let other = enqueue("2").await.expect_err("other content");
    assert!(other.is_refused(), "{other}");
}

#[tokio::test]
async fn what_cannot_be_queued_is_an_error_that_says_why() {
    let keep = volatile_keep();
    let queue = keep.queue();
    for (method, path, text) in [
        ("GET", "/agents/7/activity", "write = \"behind\""),
        ("POST", "/engagements/7", "write = \"behind\""),
        ("POST", "/unlisted", "write = \"behind\""),
        ("POST", "/agents/../7/activity", "several resources"),
        ("PUT", "/preferences", "authenticated user"),
    ] {
        let error = queue
            .enqueue(write(method, path, &[], "").map(|_| ""))
            .await;
        let error = error.expect_err("not accepted");
        assert!(
            error.is_config() && error.to_string().contains(text),
            "{path}: {error}"
        );
    }
    let malformed = write(
        "POST",
        "/agents/7/activity",
        &[("idempotency-key", "a b")],
        "",
    );
    let error = queue
        .enqueue(malformed.map(|_| ""))
        .await
        .expect_err("malformed");
    assert!(error.is_config(), "{error}");

    let small = new_keep(table().behind(Behind::new().volatile(true).max_body(2).max_queue(1)));
    let error = small.queue().enqueue(activity("long")).await;
    assert!(
        error
            .expect_err("too long")
            .to_string()
            .contains("max_body")
    );
    small
        .queue()
        .enqueue(activity("1"))
        .await
        .expect("accepted");
    let error = small
        .queue()
        .enqueue(activity("2"))
        .await
        .expect_err("full");
    assert!(error.is_refused(), "{error}");

    let at_once = new_keep(table().behind(Behind::new()));
    let error = at_once
        .queue()
        .enqueue(activity("1"))
        .await
        .expect_err("no queue");
    assert!(error.to_string().contains("volatile = true"), "{error}");
}

#[tokio::test]
async fn ids_of_no_dead_letter_change_nothing() {
    let keep = volatile_keep();
    let queue = keep.queue();
    let waiting = queue.enqueue(activity("1")).await.expect("accepted");
    let unknown = "f".repeat(32).parse().expect("an id");
    for id in [waiting, unknown] {
        assert!(queue.inspect(id).await.expect("an answer").is_none());
        assert!(!queue.retry(id).await.expect("an answer"));
        assert!(!queue.delete(id).await.expect("an answer"));
    }
    assert!(
        queue
            .dead_letters(0, 10)
            .await
            .expect("an answer")
            .is_empty()
    );
    assert!(queue.status(unknown).await.expect("an answer").is_none());
    assert_eq!(queue.counts().await.expect("counts").waiting, 1);
}

#[tokio::test]
async fn a_paused_queue_still_accepts() {
    let keep = volatile_keep();
    let queue = keep.queue();
    queue.pause().await.expect("paused");
    queue.enqueue(activity("1")).await.expect("accepted");
    assert!(queue.counts().await.expect("counts").paused);
    queue.resume().await.expect("resumed");
    assert!(!queue.counts().await.expect("counts").paused);
}

#[tokio::test]
async fn a_keep_that_has_queued_nothing_flushes_at_once() {
    Keep::default().flush().await;
    volatile_keep().flush().await;
}
