//! Ending: outcomes, status, positions, what is kept and for how long.

use super::*;

pub(super) const BEHAVIOURS: &[(&str, QueueBehaviour)] = &[
    ("an applied write has its answer", |on| Box::pin(done(on))),
    ("a failed attempt is told and tried again", |on| {
        Box::pin(again(on))
    }),
    ("a write given back costs no attempt", |on| {
        Box::pin(back(on))
    }),
    ("a failing write holds up its own key only", |on| {
        Box::pin(own_key_only(on))
    }),
    ("the last end of a key is told", |on| Box::pin(last_end(on))),
    ("dead letters are bounded", |on| Box::pin(dead_bounds(on))),
    ("dead letters expire", |on| Box::pin(dead_expire(on))),
    ("results expire", |on| Box::pin(results_expire(on))),
    ("nothing is left of what is not kept", |on| {
        Box::pin(nothing_left(on))
    }),
];

async fn done(on: TestQueue) {
    let id = on.push("k").await;
    let waiting = on.status(id).await;
    assert_eq!(waiting.state, WriteState::Waiting);
    assert_eq!((waiting.attempts, waiting.ended), (0, None));
    assert_eq!(waiting.request.expect("a request"), "request");
    let claimed = on.claim("k", id, 1).await;
    assert_eq!(claimed.accepted, waiting.accepted);
    assert_eq!(on.state(id).await, WriteState::Applying);
    assert!(on.end(&claimed, AttemptOutcome::Done).await);
    let status = on.status(id).await;
    assert_eq!(status.state, WriteState::Done);
    assert_eq!(&*status.key, "k");
    assert_eq!(status.user.as_deref(), Some("alice"));
    assert_eq!(status.accepted, waiting.accepted);
    assert!(status.ended.expect("a time") >= status.accepted);
    assert_eq!(status.answer.expect("an answer"), "answer");
    assert_eq!((status.attempts, status.request), (1, None));
    assert_eq!(on.on.status(on.id("k")).await.expect("a status"), None);
}

async fn again(on: TestQueue) {
    let id = on.push("k").await;
    on.apply("k", id, AttemptOutcome::Again(Duration::ZERO))
        .await;
    let status = on.status(id).await;
    assert_eq!(status.state, WriteState::Waiting);
    assert_eq!(status.reason.as_deref(), Some("a reason"));
    assert_eq!((status.attempts, status.answer), (1, None));
    let claimed = on.until_claimed("k", id, terms(2)).await;
    assert_eq!(claimed.attempt, 2);
    assert_eq!(on.counts().await.in_flight, 1);
}

async fn back(on: TestQueue) {
    let id = on.push("k").await;
    on.apply("k", id, AttemptOutcome::Back).await;
    assert_eq!(on.status(id).await.attempts, 0);
    let claimed = on.claim("k", id, 2).await;
    assert_eq!(claimed.attempt, 1);
}

async fn own_key_only(on: TestQueue) {
    let (first, second) = (on.push("k").await, on.push("k").await);
    let other = on.push("other").await;
    on.apply("k", first, AttemptOutcome::Again(LONG)).await;
    assert_eq!(on.try_claim("k", second, terms(1)).await, Claim::Nothing);
    on.apply("other", other, AttemptOutcome::Done).await;
}

async fn last_end(on: TestQueue) {
    let unknown = on.on.ask("k").await.expect("asks").last_end;
    assert_eq!(unknown, Position::UNKNOWN);
    for (n, outcome) in [
        AttemptOutcome::Again(Duration::ZERO),
        AttemptOutcome::Back,
        AttemptOutcome::Done,
        AttemptOutcome::Dead { hold: false },
    ]
    .into_iter()
    .enumerate()
    {
        let id = match on.pending("k").await.first() {
            Some(id) => *id,
            None => on.push("k").await,
        };
        let claimed = on.until_claimed("k", id, terms(fastrand::u64(..))).await;
        let position = Position {
            epoch: i64::MAX.unsigned_abs(),
            n: u64::try_from(n).expect("small"),
        };
        let end = AttemptEnd {
            position,
            ..end(outcome)
        };
        let ended = on.on.end(&claimed.token, &end, &RETENTION).await;
        assert!(ended.expect("ends"));
        assert_eq!(on.on.ask("k").await.expect("asks").last_end, position);
        assert_eq!(
            on.on.ask("other").await.expect("asks").last_end,
            Position::UNKNOWN
        );
    }
    if on.is_paused {
        on.pass(LAST_END).await;
        let last = on.on.ask("k").await.expect("asks").last_end;
        assert_eq!(last, Position::UNKNOWN);
    }
}

async fn bury(on: &TestQueue, key: &str, retention: &Retention) -> WriteId {
    let id = on.push(key).await;
    let claimed = on.claim(key, id, fastrand::u64(..)).await;
    let dead = end(AttemptOutcome::Dead { hold: false });
    let ended = on.on.end(&claimed.token, &dead, retention).await;
    assert!(ended.expect("ends"));
    id
}

async fn dead_bounds(on: TestQueue) {
    let three = Retention {
        max_dead: 3 * u64::from(on.on.partitions()),
        ..RETENTION
    };
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bury(&on, "k", &three).await);
    }
    ids.reverse();
    let letters = on.on.dead_letters(0, 10).await.expect("dead letters");
    assert_eq!(letters, ids[..3], "the latest first");
    let page = on.on.dead_letters(1, 1).await.expect("dead letters");
    assert_eq!(page, ids[1..2]);
    assert_eq!(on.counts().await.dead, 3);
    let status = on.status(ids[4]).await;
    assert_eq!(status.state, WriteState::Dead, "its result is kept");
    assert_eq!(status.request, None);
    let size = record_size(&["k", "alice", "request", "a reason", "answer"].map(str::len));
    // Stores may count more for what they keep beside these texts.
    let two = Retention {
        max_dead_bytes: (2 * size + size - 1) * u64::from(on.on.partitions()),
        ..RETENTION
    };
    ids.insert(0, bury(&on, "k", &two).await);
    let letters = on.on.dead_letters(0, 10).await.expect("dead letters");
    assert_eq!(letters, ids[..2]);
    let none = Retention {
        max_dead: 0,
        ..RETENTION
    };
    bury(&on, "k", &none).await;
    assert_eq!(on.on.dead_letters(0, 10).await.expect("dead letters"), []);
    assert_eq!(on.counts().await.dead, 0);
}

async fn dead_expire(on: TestQueue) {
    let soon = Retention {
        dead_age: LEASE,
        ..RETENTION
    };
    let id = bury(&on, "k", &soon).await;
    assert_eq!(on.on.dead_letters(0, 10).await.expect("dead letters"), [id]);
    on.pass(2 * LEASE).await;
    on.due("k").await;
    assert_eq!(on.on.dead_letters(0, 10).await.expect("dead letters"), []);
    assert_eq!(on.counts().await.dead, 0);
    assert_eq!(on.state(id).await, WriteState::Dead, "its result is kept");
}

async fn results_expire(on: TestQueue) {
    if !on.is_paused {
        return; // It would take too long.
    }
    let id = on.push("k").await;
    on.apply("k", id, AttemptOutcome::Done).await;
    on.pass(LONG - Duration::from_secs(1)).await;
    assert_eq!(on.state(id).await, WriteState::Done);
    on.pass(Duration::from_secs(1)).await;
    assert_eq!(on.on.status(id).await.expect("a status"), None);
}

async fn nothing_left(on: TestQueue) {
    let nothing = Retention {
        result: Duration::ZERO,
        idempotency: Duration::ZERO,
        max_dead: 0,
        ..RETENTION
    };
    for n in 0..50 {
        let id = on.push("k").await;
        let claimed = on.claim("k", id, n).await;
        let outcome = match n % 2 {
            0 => AttemptOutcome::Done,
            _ => AttemptOutcome::Dead { hold: true },
        };
        let ended = on.on.end(&claimed.token, &end(outcome), &nothing).await;
        assert!(ended.expect("ends"));
    }
    on.pass(MIN_RESULT).await;
    for _ in 0..200 {
        on.due("k").await;
        if on.counts().await.bytes == 0 {
            return;
        }
        on.pass(Duration::from_millis(50)).await;
    }
    panic!("{:?}", on.counts().await);
}
