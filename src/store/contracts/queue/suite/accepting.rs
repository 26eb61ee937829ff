//! Accepting: order, repetition, idempotency, bounds, coalescing.

use futures_util::future::join_all;

use super::*;

pub(super) const BEHAVIOURS: &[(&str, QueueBehaviour)] = &[
    ("writes of a key keep their order", |on| Box::pin(order(on))),
    ("a repeated push changes nothing", |on| {
        Box::pin(repeated(on))
    }),
    ("a push repeated after the end finds the write", |on| {
        Box::pin(repeated_after_the_end(on))
    }),
    ("an idempotency key is one write", |on| {
        Box::pin(idempotency(on))
    }),
    ("an idempotency key's time begins at the end", |on| {
        Box::pin(idempotency_expires(on))
    }),
    ("concurrent pushes exceed no bound", |on| {
        Box::pin(bounds(on))
    }),
    ("results give way to new writes", |on| {
        Box::pin(results_give_way(on))
    }),
    ("only a waiting PUT at the end is superseded", |on| {
        Box::pin(coalescing(on))
    }),
    ("a DELETE replaces content of any type", |on| {
        Box::pin(a_delete_replaces_content_of_any_type(on))
    }),
    ("a superseded write ends in the push", |on| {
        Box::pin(superseded_ends(on))
    }),
];

async fn order(on: TestQueue) {
    let ids = [on.push("k").await, on.push("k").await, on.push("k").await];
    assert_eq!(on.pending("k").await, ids);
    assert_eq!(on.pending("other").await, []);
    let due = on.due("k").await.first;
    let first = FirstWrite {
        key: "k".into(),
        id: ids[0],
    };
    assert_eq!(due, [first]);
    let mut last = 0;
    for id in ids {
        let claimed = on.claim("k", id, 1).await;
        assert!(claimed.seq > last, "seq increases");
        last = claimed.seq;
        assert!(on.end(&claimed, AttemptOutcome::Done).await);
    }
    assert_eq!(on.pending("k").await, []);
    assert_eq!(on.due("k").await.first, []);
}

async fn repeated(on: TestQueue) {
    let write = on.write("k");
    assert_eq!(on.push_write(&write).await, Pushed::Accepted(None));
    let known = |state| Pushed::Known(write.id, state);
    assert_eq!(on.push_write(&write).await, known(WriteState::Waiting));
    on.claim("k", write.id, 1).await;
    assert_eq!(on.push_write(&write).await, known(WriteState::Applying));
    assert_eq!(on.pending("k").await, [write.id]);
    assert_eq!(on.counts().await.waiting, 1);
}

async fn repeated_after_the_end(on: TestQueue) {
    let write = on.write("k");
    on.push_write(&write).await;
    let claimed = on.claim("k", write.id, 1).await;
    let nothing = Retention {
        result: Duration::ZERO,
        idempotency: Duration::ZERO,
        ..RETENTION
    };
    let done = end(AttemptOutcome::Done);
    let ended = on.on.end(&claimed.token, &done, &nothing).await;
    assert!(ended.expect("ends"));
    let known = Pushed::Known(write.id, WriteState::Done);
    assert_eq!(on.push_write(&write).await, known);
    assert_eq!(on.pending("k").await, []);
}

fn with_scope(write: NewWrite, scope: u8, fingerprint: u8) -> NewWrite {
    NewWrite {
        idempotency: Some(Idempotency {
            scope: [scope; 16],
            fingerprint: [fingerprint; 16],
        }),
        ..write
    }
}

async fn idempotency(on: TestQueue) {
    let first = with_scope(on.write("k"), 1, 1);
    let same = || with_scope(on.write("k"), 1, 1);
    let other = || with_scope(on.write("k"), 1, 2);
    assert_eq!(on.push_write(&first).await, Pushed::Accepted(None));
    let known = |state| Pushed::Known(first.id, state);
    assert_eq!(on.push_write(&same()).await, known(WriteState::Waiting));
    assert_eq!(on.push_write(&other()).await, Pushed::OtherContent);
    let claimed = on.claim("k", first.id, 1).await;
    assert_eq!(on.push_write(&same()).await, known(WriteState::Applying));
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    assert_eq!(on.push_write(&same()).await, known(WriteState::Done));
    assert_eq!(on.push_write(&other()).await, Pushed::OtherContent);
    let elsewhere = with_scope(on.write("k"), 2, 2);
    assert_eq!(on.push_write(&elsewhere).await, Pushed::Accepted(None));
    assert_eq!(on.pending("k").await, [elsewhere.id]);
}

async fn idempotency_expires(on: TestQueue) {
    let short = Retention {
        result: Duration::ZERO,
        idempotency: LEASE,
        ..RETENTION
    };
    let first = with_scope(on.write("k"), 1, 1);
    on.push_write(&first).await;
    // Longer than it is kept after the end.
    on.pass(2 * LEASE).await;
    let same = with_scope(on.write("k"), 1, 1);
    let known = |state| Pushed::Known(first.id, state);
    assert_eq!(on.push_write(&same).await, known(WriteState::Waiting));
    let claimed = on.claim("k", first.id, 1).await;
    let done = end(AttemptOutcome::Done);
    assert!(
        on.on
            .end(&claimed.token, &done, &short)
            .await
            .expect("ends")
    );
    assert_eq!(on.push_write(&same).await, known(WriteState::Done));
    on.pass(2 * LEASE).await;
    assert_eq!(on.push_write(&same).await, Pushed::Accepted(None));
}

async fn bounds(on: TestQueue) {
    let large = |key: &str| NewWrite {
        user: None,
        request: Bytes::from(vec![b'x'; 1000]),
        ..on.write(key)
    };
    // Keys of one partition.
    let [a, b] = keys_together(&on);
    let size = record_size(&[a.len(), 1000]);
    let partitions = u64::from(on.on.partitions());
    let of_writes = QueueBounds {
        max_queue: 5 * partitions,
        ..BOUNDS
    };
    let of_bytes = QueueBounds {
        max_bytes: partitions * (5 * size + size / 2),
        ..BOUNDS
    };
    let of_key = QueueBounds {
        max_per_key: 5,
        ..BOUNDS
    };
    for (bounds, bound) in [
        (of_bytes, Bound::Bytes), // before there are results
        (of_writes, Bound::Writes),
        (of_key, Bound::PerKey),
    ] {
        let writes: Vec<_> = (0..20).map(|_| large(&a)).collect();
        let pushes = writes.iter().map(|write| on.on.push(write, &bounds));
        let replies: Vec<_> = join_all(pushes).await;
        let replies: Vec<_> = replies.into_iter().map(|it| it.expect("pushes")).collect();
        let accepted = |reply: &&Pushed| **reply == Pushed::Accepted(None);
        assert_eq!(replies.iter().filter(accepted).count(), 5, "{bound:?}");
        let full = |reply: &&Pushed| **reply == Pushed::Full(bound);
        assert_eq!(replies.iter().filter(full).count(), 15, "{bound:?}");
        let other = on.on.push(&large(&b), &bounds).await.expect("pushes");
        let is_full = other == Pushed::Full(bound);
        assert_eq!(is_full, bound != Bound::PerKey, "{bound:?}: another key");
        for id in on.pending(&a).await {
            on.apply(&a, id, AttemptOutcome::Done).await;
        }
        for id in on.pending(&b).await {
            on.apply(&b, id, AttemptOutcome::Done).await;
        }
        let after = on.on.push(&large(&b), &of_writes).await.expect("pushes");
        assert_eq!(after, Pushed::Accepted(None), "{bound:?}: room again");
        let [id] = on.pending(&b).await[..] else {
            panic!("one write")
        };
        on.apply(&b, id, AttemptOutcome::Done).await;
    }
}

/// Two keys of one partition, with names of one length.
fn keys_together(on: &TestQueue) -> [String; 2] {
    let mut keys = (100..1000).map(|n| format!("k{n}"));
    let first = keys.next().expect("a key");
    let partition = on.on.partition_of(&first);
    let second = keys.find(|key| on.on.partition_of(key) == partition);
    [first, second.expect("a second key")]
}

async fn results_give_way(on: TestQueue) {
    let first = on.push("k").await;
    let claimed = on.claim("k", first, 1).await;
    let large = AttemptEnd {
        answer: Some(Bytes::from(vec![b'x'; 10_000])),
        ..end(AttemptOutcome::Done)
    };
    let ended = on.on.end(&claimed.token, &large, &RETENTION).await;
    assert!(ended.expect("ends"));
    let small = QueueBounds {
        max_bytes: 10_000 * u64::from(on.on.partitions()),
        ..BOUNDS
    };
    let next = on.write("k");
    let reply = on.on.push(&next, &small).await.expect("pushes");
    assert_eq!(reply, Pushed::Full(Bound::Bytes), "the result is recent");
    assert!(on.status(first).await.answer.is_some());
    if !on.is_paused {
        return; // It would take too long.
    }
    on.pass(MIN_RESULT).await;
    let reply = on.on.push(&next, &small).await.expect("pushes");
    assert_eq!(reply, Pushed::Accepted(None));
    assert_eq!(on.on.status(first).await.expect("a status"), None);
}

fn put(write: NewWrite, hash: u8) -> NewWrite {
    NewWrite {
        coalescing: Coalescing::Put([hash; 16]),
        ..write
    }
}

fn delete(write: NewWrite, hash: u8) -> NewWrite {
    NewWrite {
        coalescing: Coalescing::Delete([hash; 16]),
        ..write
    }
}

async fn coalescing(on: TestQueue) {
    let first = put(on.write("k"), 1);
    on.push_write(&first).await;
    let claimed = on.claim("k", first.id, 1).await;
    let second = put(on.write("k"), 1);
    assert_eq!(
        on.push_write(&second).await,
        Pushed::Accepted(None),
        "the first is in flight"
    );
    let third = put(on.write("k"), 1);
    let superseded = Pushed::Accepted(Some(second.id));
    assert_eq!(on.push_write(&third).await, superseded);
    let other_user = put(on.write("k"), 2);
    assert_eq!(on.push_write(&other_user).await, Pushed::Accepted(None));
    let beyond = put(on.write("k"), 1);
    assert_eq!(on.push_write(&beyond).await, Pushed::Accepted(None));
    let deleted = delete(on.write("k"), 1);
    let superseded = Pushed::Accepted(Some(beyond.id));
    assert_eq!(on.push_write(&deleted).await, superseded);
    let after_delete = put(on.write("k"), 1);
    assert_eq!(on.push_write(&after_delete).await, Pushed::Accepted(None));
    let post = on.write("k");
    assert_eq!(on.push_write(&post).await, Pushed::Accepted(None));
    let behind_post = put(on.write("k"), 1);
    assert_eq!(on.push_write(&behind_post).await, Pushed::Accepted(None));
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    let left = [
        third.id,
        other_user.id,
        deleted.id,
        after_delete.id,
        post.id,
        behind_post.id,
    ];
    assert_eq!(on.pending("k").await, left);
}

async fn a_delete_replaces_content_of_any_type(on: TestQueue) {
    let hash = |user: u8, media_type: u8| -> [u8; 16] {
        std::array::from_fn(|at| if at < 8 { user } else { media_type })
    };
    let put = |write: NewWrite, user, media_type| NewWrite {
        coalescing: Coalescing::Put(hash(user, media_type)),
        ..write
    };
    let delete = |write: NewWrite, user| NewWrite {
        coalescing: Coalescing::Delete(hash(user, 0)),
        ..write
    };
    let first = put(on.write("k"), 1, 1);
    on.push_write(&first).await;
    let other_type = put(on.write("k"), 1, 2);
    assert_eq!(on.push_write(&other_type).await, Pushed::Accepted(None));
    let other_user = delete(on.write("k"), 2);
    assert_eq!(on.push_write(&other_user).await, Pushed::Accepted(None));
    let last = put(on.write("k"), 1, 2);
    assert_eq!(on.push_write(&last).await, Pushed::Accepted(None));
    let deleted = delete(on.write("k"), 1);
    let superseded = Pushed::Accepted(Some(last.id));
    assert_eq!(on.push_write(&deleted).await, superseded);
    let left = [first.id, other_type.id, other_user.id, deleted.id];
    assert_eq!(on.pending("k").await, left);
}

async fn superseded_ends(on: TestQueue) {
    let first = with_scope(put(on.write("k"), 1), 1, 1);
    on.push_write(&first).await;
    let bounds = QueueBounds {
        max_queue: u64::from(on.on.partitions()),
        max_per_key: 1,
        ..BOUNDS
    };
    let second = with_scope(put(on.write("k"), 1), 2, 2);
    let reply = on.on.push(&second, &bounds).await.expect("pushes");
    assert_eq!(reply, Pushed::Accepted(Some(first.id)), "it takes no room");
    let state = WriteState::Superseded(second.id);
    assert_eq!(on.state(first.id).await, state);
    let again = with_scope(put(on.write("k"), 1), 1, 1);
    assert_eq!(on.push_write(&again).await, Pushed::Known(first.id, state));
    assert_eq!(on.pending("k").await, [second.id]);
    let counts = on.counts().await;
    assert_eq!(counts.waiting, 1);
    assert_eq!(
        on.on
            .requests("k", &[first.id, second.id])
            .await
            .expect("requests"),
        [None, Some(second.request.clone())]
    );
    let claimed = on.claim("k", second.id, 1).await;
    assert_eq!(claimed.request, second.request);
}
