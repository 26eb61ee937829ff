//! What clients and code see of writes that have ended. The tests end the writes themselves, as a worker
//! does.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};

use super::{Applying, WriteBehindLayer, WriteId, WriteState, WriteStatusService};
use crate::{
    clock::Timestamp,
    engine::acceptance::queue_settings,
    keep::Keep,
    store::{
        contracts::queue::{
            AttemptEnd, AttemptOutcome, Claim, ClaimTerms, ClaimToken, ClaimedWrite, Coalescing,
            NewWrite,
        },
        position::Position,
    },
    table::{Behind, Route, Table, Write},
    write_queue::answer::QueuedAnswer,
};

fn keep() -> Keep {
    let route = Route::new("/agents/{id}").key("agent:{id}");
    let table = Table::new()
        .behind(Behind::new().volatile(true))
        .route(route.write(Write::Behind).coalesce(true));
    Keep::new(table).expect("a valid table")
}

fn request(method: &str, fields: &[(&'static str, &'static str)]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri("/agents/7");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::from("{}")).expect("a request")
}

/// Sends a request through a layer whose inner service answers with 418.
async fn send(keep: &Keep, request: Request<Full<Bytes>>) -> Response<Bytes> {
    let service = service_fn(async |_: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::<Bytes>::from("at once"));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        Ok::<_, Infallible>(response)
    });
    let response = WriteBehindLayer::new(keep).layer(service).oneshot(request);
    let (head, body) = response.await.expect("a response").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Response::from_parts(head, body)
}

async fn status(keep: &Keep, id: &str) -> (StatusCode, HeaderMap, Value) {
    let uri = format!("/writes/{id}");
    let request = Request::get(uri).body(()).expect("a request");
    let response = WriteStatusService::new(keep).oneshot(request).await;
    let (head, body) = response.expect("a response").into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head.status, head.headers, json(&body))
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

fn accepted_id(response: &Response<Bytes>) -> String {
    assert_eq!(response.status(), 202, "{response:?}");
    json(response.body())["id"].as_str().expect("an id").into()
}

/// Waits until a write is due, and takes it.
async fn claim(keep: &Keep) -> ClaimedWrite {
    let queue = &keep.engine().queue;
    let terms = ClaimTerms {
        token: 1,
        lease: Duration::from_secs(30),
        attempts: 25,
        max_age: Duration::from_secs(3600),
    };
    let first = loop {
        match queue.due(0, 1).await.expect("an answer").first.pop() {
            Some(first) => break first,
            None => tokio::task::yield_now().await,
        }
    };
    match queue.claim(&first, &terms).await.expect("an answer") {
        Claim::Claimed(claimed) => claimed,
        other => panic!("{other:?}"),
    }
}

async fn end(
    keep: &Keep,
    claim: &ClaimToken,
    outcome: AttemptOutcome,
    answer: Option<QueuedAnswer>,
) {
    let end = AttemptEnd {
        outcome,
        position: Position::UNKNOWN,
        reason: Some("the reason".into()),
        answer: answer.map(|answer| answer.encode()),
    };
    let engine = keep.engine();
    let retention = queue_settings::retention(&engine.snapshot.load().plan.behind);
    let ended = engine.queue.end(claim, &end, &retention).await;
    assert!(ended.expect("an answer"));
}

async fn end_first(keep: &Keep, outcome: AttemptOutcome, answer: Option<QueuedAnswer>) {
    let claimed = claim(keep).await;
    end(keep, &claimed.token, outcome, answer).await;
}

fn answer(status: u16) -> QueuedAnswer {
    let mut headers = HeaderMap::new();
    headers.insert("x-service", HeaderValue::from_static("yes"));
    QueuedAnswer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers,
        body: Bytes::from_static(b"the answer"),
        is_cut: false,
    }
}

const DEAD: AttemptOutcome = AttemptOutcome::Dead { hold: false };

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_gets_the_service_s_answer() {
    let keep = keep();
    let waiting = {
        let keep = keep.clone();
        tokio::spawn(async move { send(&keep, request("POST", &[("prefer", "wait=10")])).await })
    };
    end_first(&keep, AttemptOutcome::Done, Some(answer(201))).await;
    let response = waiting.await.expect("no panic");
    assert_eq!(
        (response.status(), &response.body()[..]),
        (StatusCode::CREATED, &b"the answer"[..])
    );
    assert_eq!(response.headers()["x-service"], "yes");
    assert_eq!(response.headers()["preference-applied"], "wait=10");
    assert!(!response.headers().contains_key("location"));
}

#[tokio::test]
async fn a_repeated_key_gets_the_answer_once_it_is_there() {
    let keep = keep();
    let post = || request("POST", &[("idempotency-key", "\"1\"")]);
    let id = accepted_id(&send(&keep, post()).await);
    let claimed = claim(&keep).await;
    let repeated = send(&keep, post()).await;
    assert_eq!(accepted_id(&repeated), id);
    assert_eq!(json(repeated.body())["state"], "applying");
    end(
        &keep,
        &claimed.token,
        AttemptOutcome::Done,
        Some(answer(201)),
    )
    .await;
    for _ in 0..2 {
        let response = send(&keep, post()).await;
        assert_eq!(response.status(), 201);
        assert_eq!(response.body(), "the answer");
    }
    assert_eq!(keep.queue().counts().await.expect("counts").waiting, 0);
}

#[tokio::test]
async fn the_answer_that_refused_a_write_is_repeated_as_well() {
    let keep = keep();
    let post = || request("POST", &[("idempotency-key", "\"1\"")]);
    let id = accepted_id(&send(&keep, post()).await);
    end_first(&keep, DEAD, Some(answer(409))).await;
    assert_eq!(send(&keep, post()).await.status(), 409);

    let (code, headers, status) = status(&keep, &id).await;
    assert_eq!(code, 200);
    assert!(!headers.contains_key("retry-after"));
    assert_eq!(status["state"], "dead");
    assert_eq!(status["reason"], "the reason");
    assert_eq!(status["attempts"], 1);
    assert_eq!(status["response"]["status"], 409);
    assert_eq!(status["response"]["headers"]["x-service"][0], "yes");
    assert_eq!(status["response"]["body"], "the answer");
    assert!(status["ended"].is_string());
}

#[tokio::test]
async fn without_a_whole_answer_a_repeated_key_gets_the_state() {
    let cut = QueuedAnswer {
        is_cut: true,
        ..answer(200)
    };
    for (outcome, answer, state) in [
        (AttemptOutcome::Done, Some(cut), "done"),
        (AttemptOutcome::Done, None, "done"),
        (DEAD, None, "dead"),
    ] {
        let keep = keep();
        let post = || request("POST", &[("idempotency-key", "\"1\"")]);
        let id = accepted_id(&send(&keep, post()).await);
        end_first(&keep, outcome, answer).await;
        let response = send(&keep, post()).await;
        assert_eq!(accepted_id(&response), id);
        assert_eq!(json(response.body())["state"], state);
        assert_eq!(response.headers()["location"], format!("/writes/{id}"));
        assert!(!response.headers().contains_key("retry-after"));
    }
}

#[tokio::test]
async fn a_write_that_waits_for_its_next_attempt_says_when() {
    let keep = keep();
    let id = accepted_id(&send(&keep, request("POST", &[])).await);
    let again = AttemptOutcome::Again(Duration::from_secs(90));
    end_first(&keep, again, None).await;
    let (_, headers, status) = status(&keep, &id).await;
    assert_eq!(status["state"], "waiting");
    assert_eq!(status["reason"], "the reason");
    assert!(status["next_attempt"].is_string());
    let seconds: u64 = headers["retry-after"]
        .to_str()
        .expect("text")
        .parse()
        .expect("seconds");
    assert!((80..=90).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_superseded_write_names_the_one_in_its_place() {
    let keep = keep();
    let put = || request("PUT", &[("prefer", "wait=10")]);
    let waiting = {
        let keep = keep.clone();
        tokio::spawn(async move { send(&keep, put()).await })
    };
    while keep.queue().counts().await.expect("counts").waiting == 0 {
        tokio::task::yield_now().await;
    }
    let later = accepted_id(&send(&keep, request("PUT", &[])).await);
    let response = waiting.await.expect("no panic");
    let id = accepted_id(&response);
    let body = json(response.body());
    assert_eq!(
        (&body["state"], &body["superseded_by"]),
        (&"superseded".into(), &later.clone().into())
    );
    let (_, _, status) = status(&keep, &id).await;
    assert_eq!(status["superseded_by"], later);
}

#[tokio::test]
async fn what_a_worker_applies_passes_through() {
    let keep = keep();
    let mut applied = request("POST", &[]);
    applied.extensions_mut().insert(Applying {
        id: WriteId::random(0).expect("random numbers"),
        seq: 1,
        attempt: 1,
        accepted: Timestamp(0).system(),
    });
    let response = send(&keep, applied).await;
    assert_eq!(response.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(keep.queue().counts().await.expect("counts").waiting, 0);
}

#[tokio::test]
async fn dead_letters_are_listed_inspected_retried_and_deleted() {
    let keep = keep();
    let queue = keep.queue();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id: WriteId = accepted_id(&send(&keep, request("POST", &[])).await)
            .parse()
            .expect("an id");
        end_first(&keep, DEAD, Some(answer(400))).await;
        ids.push(id);
    }
    let letters = queue.dead_letters(0, 10).await.expect("an answer");
    assert_eq!(letters.len(), 3);
    let skipped = queue.dead_letters(2, 10).await.expect("an answer");
    assert_eq!(skipped[0].status.id, letters[2].status.id);
    let letter = queue
        .inspect(ids[0])
        .await
        .expect("an answer")
        .expect("a letter");
    assert_eq!(&*letter.key, "agent:7");
    assert_eq!(letter.status.state, WriteState::Dead);
    assert_eq!(letter.status.reason.as_deref(), Some("the reason"));
    let response = letter.status.response.expect("the last response");
    assert_eq!(
        (response.status().as_u16(), &response.body()[..]),
        (400, &b"the answer"[..])
    );
    let sent = letter.request.expect("a request");
    assert_eq!(
        (sent.method().as_str(), sent.uri().path(), &sent.body()[..]),
        ("POST", "/agents/7", &b"{}"[..])
    );

    assert!(queue.delete(ids[0]).await.expect("an answer"));
    assert!(queue.inspect(ids[0]).await.expect("an answer").is_none());
    assert!(queue.retry(ids[1]).await.expect("an answer"));
    let status = queue
        .status(ids[1])
        .await
        .expect("an answer")
        .expect("known");
    assert_eq!(status.state, WriteState::Waiting);
    let counts = queue.counts().await.expect("counts");
    assert_eq!((counts.waiting, counts.dead), (1, 1));
}

#[tokio::test]
async fn a_damaged_dead_letter_is_shown_without_its_request() {
    let keep = keep();
    let engine = keep.engine();
    let write = NewWrite {
        id: WriteId::random(0).expect("random numbers"),
        key: "agent:7".into(),
        user: None,
        idempotency: None,
        coalescing: Coalescing::Never,
        request: Bytes::from_static(b"damaged"),
    };
    let bounds = queue_settings::bounds(&engine.snapshot.load().plan.behind);
    engine.queue.push(&write, &bounds).await.expect("a reply");
    let key = crate::Key::new("agent").id(7);
    assert!(
        keep.queue()
            .pending(&key)
            .await
            .expect("an answer")
            .is_empty()
    );
    end_first(&keep, DEAD, None).await;
    let letters = keep.queue().dead_letters(0, 1).await.expect("an answer");
    assert_eq!(letters[0].status.id, write.id);
    assert!(letters[0].request.is_none());
}

#[tokio::test(start_paused = true)]
async fn flush_waits_until_the_queue_in_memory_is_empty() {
    let keep = keep();
    for _ in 0..2 {
        accepted_id(&send(&keep, request("POST", &[])).await);
    }
    let mut flushed = Box::pin(keep.flush());
    end_first(&keep, AttemptOutcome::Done, None).await;
    assert!(flushed.as_mut().now_or_never().is_none());
    end_first(&keep, AttemptOutcome::Done, None).await;
    flushed.await;
}
