//! Writes that end while they are read, stored responses that are too old, and a queue that cannot be
//! reached.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{Method, Request};

use super::{
    super::{fields::Completeness, pending_requests::PendingRequests},
    Scene,
    hooked_queue::HookedQueue,
    scene::{KEY, Origin, end_first, push, push_record, route, send_to, write},
};
use crate::{
    Table,
    clock::Clock,
    engine::{
        core::Engine, known_requests::KnownRequests, required_position::RequiredPosition, snapshot,
    },
    key::purge::PurgeTarget,
    store::{
        contracts::queue::{Coalescing, Queue},
        position::Position,
    },
    table::PendingMode,
};

const ALICE: Option<&str> = Some("alice");

/// A position that this process has not heard of.
fn later(scene: &Scene) -> Position {
    let Position { epoch, n } = scene.keep.engine().fence.position();
    Position { epoch, n: n + 1 }
}

/// A worker in another process has applied the write, and this process has not heard of it.
#[tokio::test]
async fn a_stored_response_from_before_the_last_end_is_not_used() {
    let scene = Scene::new(route(PendingMode::Prepend));
    assert_eq!(scene.get(ALICE).await.content, "[]", "stored");
    scene.accept(write(Method::POST, "1")).await;
    assert_eq!(scene.get(ALICE).await.content, "[1]");
    assert_eq!(scene.origin.calls(), 1);
    scene.origin.set_json("[1]");
    scene.end(later(&scene)).await;
    let reply = scene.get(ALICE).await;
    assert_eq!((reply.content.as_str(), reply.detail()), ("[1]", None));
    // Nor to others, who never saw the write as pending.
    assert_eq!(scene.get(None).await.content, "[1]");
    // Nor with a later write on top.
    scene.accept(write(Method::POST, "2")).await;
    assert_eq!(scene.get(ALICE).await.content, "[2,1]");
}

#[tokio::test]
async fn a_stored_response_of_another_epoch_than_the_last_end_is_not_used() {
    let scene = Scene::new(route(PendingMode::Body));
    scene.get(ALICE).await;
    scene.accept(write(Method::PUT, "1")).await;
    scene.origin.set_json("1");
    let position = scene.keep.engine().fence.position();
    let epoch = position.epoch ^ 1;
    scene.end(Position { epoch, n: 0 }).await;
    assert_eq!(scene.get(ALICE).await.content, "1");
}

#[tokio::test]
async fn a_response_that_was_stored_after_the_last_end_is_used() {
    let scene = Scene::new(route(PendingMode::Body));
    scene.accept(write(Method::PUT, "1")).await;
    let target = PurgeTarget::Key(KEY.into());
    let fence = &scene.keep.engine().fence;
    let position = fence.invalidate(vec![target], false).await;
    scene.end(position.expect("appended")).await;
    scene.origin.set_json("1");
    for _ in 0..3 {
        let reply = scene.get(ALICE).await;
        assert_eq!((reply.content.as_str(), reply.detail()), ("1", None));
    }
    assert_eq!(scene.origin.calls(), 1);
}

#[tokio::test]
async fn a_buried_write_is_no_longer_shown() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.accept(write(Method::POST, "1")).await;
    assert_eq!(scene.get(ALICE).await.content, "[1]");
    let position = scene.keep.engine().fence.position();
    scene.end(position).await;
    assert_eq!(scene.get(ALICE).await.content, "[]");
}

async fn read(queue: &HookedQueue) -> PendingRequests {
    let known = KnownRequests::default();
    let pending = PendingRequests::read(queue, &known, KEY);
    pending.await.expect("the queue answers")
}

fn contents(pending: &PendingRequests) -> Vec<Bytes> {
    let requests = pending.requests.iter();
    requests.map(|request| request.body.clone()).collect()
}

/// Otherwise the write would be shown neither by the queue nor by a response from before its end.
#[tokio::test]
async fn a_write_that_ends_after_the_queue_was_asked_counts_as_ended() {
    let position = Position { epoch: 7, n: 3 };
    let queue = HookedQueue::new(|queue, number| {
        Box::pin(async move {
            if number == 1 {
                end_first(&*queue, Position { epoch: 7, n: 3 }).await;
            }
        })
    });
    for body in ["1", "2"] {
        push(&*queue.queue, &write(Method::POST, body), Coalescing::Never).await;
    }
    let pending = read(&queue).await;
    assert_eq!(contents(&pending), ["2"]);
    assert_eq!(pending.last_end, position);
    assert_eq!(pending.completeness, Completeness::Complete);
}

#[tokio::test]
async fn a_write_that_is_superseded_after_the_queue_was_asked_is_replaced() {
    let queue = HookedQueue::new(|queue, number| {
        Box::pin(async move {
            if number == 1 {
                push(&*queue, &write(Method::PUT, "2"), Coalescing::Put([0; 16])).await;
            }
        })
    });
    push(
        &*queue.queue,
        &write(Method::PUT, "1"),
        Coalescing::Put([0; 16]),
    )
    .await;
    let pending = read(&queue).await;
    assert_eq!(contents(&pending), ["2"]);
    assert_eq!(pending.completeness, Completeness::Complete);
}

/// Writes that come and go faster than they are read.
#[tokio::test]
async fn a_reader_does_not_ask_for_ever() {
    let queue = HookedQueue::new(|queue, _| {
        Box::pin(async move {
            end_first(&*queue, Position { epoch: 7, n: 3 }).await;
            push(&*queue, &write(Method::POST, "2"), Coalescing::Never).await;
        })
    });
    push(&*queue.queue, &write(Method::POST, "1"), Coalescing::Never).await;
    let pending = read(&queue).await;
    assert_eq!(pending.completeness, Completeness::Unknown);
    assert!(queue.asks.load(Ordering::SeqCst) <= 5);
}

#[tokio::test]
async fn a_request_is_read_from_the_queue_once() {
    let queue = HookedQueue::new(|_, _| Box::pin(async {}));
    let known = KnownRequests::default();
    let id = push(&*queue.queue, &write(Method::POST, "1"), Coalescing::Never).await;
    for _ in 0..2 {
        let pending = PendingRequests::read(&*queue, &known, KEY).await;
        assert_eq!(contents(&pending.expect("the queue answers")), ["1"]);
        assert!(known.get(id).is_some());
    }
    assert_eq!(queue.reads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_unreadable_record_hides_no_other_write() {
    let scene = Scene::new(route(PendingMode::Prepend));
    scene.get(ALICE).await;
    let queue = &*scene.keep.engine().queue;
    push_record(queue, Bytes::from_static(b"TKQ\x02...."), Coalescing::Never).await;
    scene.accept(write(Method::POST, "1")).await;
    let reply = scene.get(ALICE).await;
    assert_eq!(reply.content, "[1]");
    assert_eq!(reply.detail(), Some("pending-unknown"));
    // What cannot be read may have been applied at any time.
    assert_eq!(scene.origin.calls(), 2, "the stored response was not used");
}

/// The queue of an engine whose store is away.
#[tokio::test]
async fn without_the_queue_the_service_answers_and_nothing_is_stored() {
    let table = Table::new().route(route(PendingMode::Body));
    let plan = snapshot::compile(&table).expect("a valid table");
    let mut engine = Engine::in_process(plan, Clock::tokio());
    let queue = HookedQueue::new(|_, _| Box::pin(async {}));
    Arc::get_mut(&mut engine).expect("no clone").queue = Arc::clone(&queue) as Arc<dyn Queue>;
    let origin = Arc::<Origin>::default();
    let fields = [("etag", "\"1\""), ("cache-control", "max-age=60")];
    origin.set(200, &fields, "base");
    push(&*engine.queue, &write(Method::PUT, "1"), Coalescing::Never).await;
    for is_away in [true, false] {
        queue.set_away(is_away);
        let request = Request::get("/items/1");
        let reply = send_to(&engine, origin.service(), ALICE, request).await;
        let (content, detail) = match is_away {
            true => ("base", "pending-unknown"),
            false => ("1", "pending"),
        };
        assert_eq!(reply.content, content);
        assert_eq!(reply.detail(), Some(detail));
        assert_eq!(reply.field("cache-control"), Some("no-store"));
    }
    let asked = origin.asked.lock().expect("whole");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1, Some(RequiredPosition::FromService));
}
