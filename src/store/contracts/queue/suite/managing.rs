//! What persons do: dead letters, counts.

use super::*;

pub(super) const BEHAVIOURS: &[(&str, QueueBehaviour)] = &[
    ("a dead letter is retried at the end of its key", |on| {
        Box::pin(retried(on))
    }),
    ("a dead letter that holds its key is retried first", |on| {
        Box::pin(held(on))
    }),
    ("a deleted dead letter releases its key", |on| {
        Box::pin(deleted(on))
    }),
    ("a dead letter that is trimmed releases its key", |on| {
        Box::pin(trimmed(on))
    }),
    ("a retried write keeps its idempotency key", |on| {
        Box::pin(retried_scope(on))
    }),
    ("counts follow the writes", |on| Box::pin(counts(on))),
];

const DEAD: AttemptOutcome = AttemptOutcome::Dead { hold: false };
const HELD: AttemptOutcome = AttemptOutcome::Dead { hold: true };

async fn retry(on: &TestQueue, id: WriteId) -> bool {
    on.on.retry(id).await.expect("retries")
}

async fn delete(on: &TestQueue, id: WriteId) -> bool {
    on.on.delete(id).await.expect("deletes")
}

async fn retried(on: TestQueue) {
    let first = on.push("k").await;
    let claimed = on.claim("k", first, 1).await;
    assert!(!retry(&on, first).await, "it is not dead");
    assert!(on.end(&claimed, DEAD).await);
    let second = on.push("k").await;
    let second_seq = on.claim("k", second, 2).await.seq;
    assert!(retry(&on, first).await);
    assert!(!retry(&on, first).await, "it is queued");
    assert_eq!(on.pending("k").await, [second, first]);
    assert_eq!(on.on.dead_letters(0, 10).await.expect("dead letters"), []);
    let status = on.status(first).await;
    assert_eq!((status.state, status.attempts), (WriteState::Waiting, 0));
    assert_eq!(status.request.expect("a request"), "request");
    let claimed = on.claim("k", second, 2).await;
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    let claimed = on.claim("k", first, 3).await;
    assert_eq!((claimed.attempt, claimed.is_spent), (1, false));
    assert!(claimed.seq > second_seq, "it counts as accepted now");
    assert_eq!(claimed.request, "request");
}

async fn held(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    let claimed = on.claim("k", first, 1).await;
    assert!(on.end(&claimed, HELD).await);
    let third = on.push("k").await;
    for id in [second, third] {
        assert_eq!(on.try_claim("k", id, terms(2)).await, Claim::Nothing);
    }
    assert_eq!(on.due("k").await.first, []);
    assert!(retry(&on, first).await);
    assert_eq!(on.pending("k").await, [first, second, third]);
    let again = on.claim("k", first, 3).await;
    assert!(on.end(&again, AttemptOutcome::Done).await);
    let next = on.claim("k", second, 4).await;
    assert!(again.seq < next.seq, "later writes have a greater seq");
}

async fn deleted(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    on.apply("k", first, HELD).await;
    assert!(!delete(&on, second).await, "it is not dead");
    assert!(delete(&on, first).await);
    assert!(!delete(&on, first).await);
    on.apply("k", second, HELD).await;
    assert!(delete(&on, second).await);
    let third = on.push("k").await;
    on.apply("k", third, AttemptOutcome::Done).await;
    assert_eq!(on.counts().await.dead, 0);
}

async fn trimmed(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    on.apply("k", first, HELD).await;
    let other = on.push("k2").await;
    // In another partition it would not be trimmed.
    if on.on.partition_of("k") != on.on.partition_of("k2") {
        return;
    }
    let claimed = on.claim("k2", other, 2).await;
    let one = Retention {
        max_dead: u64::from(on.on.partitions()),
        ..RETENTION
    };
    let ended = on.on.end(&claimed.token, &end(DEAD), &one).await;
    assert!(ended.expect("ends"));
    on.apply("k", second, AttemptOutcome::Done).await;
}

async fn retried_scope(on: TestQueue) {
    let write = NewWrite {
        idempotency: Some(Idempotency {
            scope: [7; 16],
            fingerprint: [8; 16],
        }),
        ..on.write("k")
    };
    on.push_write(&write).await;
    on.apply("k", write.id, DEAD).await;
    let same = NewWrite {
        id: on.id("k"),
        ..write.clone()
    };
    let known = |state| Pushed::Known(write.id, state);
    assert_eq!(on.push_write(&same).await, known(WriteState::Dead));
    assert!(retry(&on, write.id).await);
    assert_eq!(on.push_write(&same).await, known(WriteState::Waiting));
    on.apply("k", write.id, AttemptOutcome::Done).await;
    assert_eq!(on.push_write(&same).await, known(WriteState::Done));
}

async fn counts(on: TestQueue) {
    let empty = on.counts().await;
    assert_eq!((empty.waiting, empty.in_flight, empty.dead), (0, 0, 0));
    assert_eq!((empty.bytes, empty.oldest), (0, Duration::ZERO));
    let first = on.push("k").await;
    on.pass(LEASE).await;
    on.push("other").await;
    let claimed = on.claim("k", first, 1).await;
    let counts = on.counts().await;
    assert_eq!((counts.waiting, counts.in_flight), (2, 1));
    let sizes = ["k", "other"].map(|key| record_size(&[key.len(), 5, 7]));
    assert_eq!(counts.bytes, sizes[0] + sizes[1]);
    assert!(counts.oldest >= LEASE - Duration::from_millis(2));
    assert!(on.end(&claimed, DEAD).await);
    let counts = on.counts().await;
    assert_eq!((counts.waiting, counts.in_flight, counts.dead), (1, 0, 1));
    assert!(retry(&on, first).await);
    let counts = on.counts().await;
    assert_eq!((counts.waiting, counts.dead), (2, 0));
    assert_eq!(counts.bytes, sizes[0] + sizes[1]);
    assert_eq!(counts.lost, 0);
}
