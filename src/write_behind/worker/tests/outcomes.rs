//! What becomes of a write by what the service does.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use http::Response;
use tokio::time::{Instant, sleep};

use super::kit::*;
use crate::{
    identity::UserId,
    store::contracts::queue::{Claim, ClaimTerms, FirstWrite, Queue},
    support::until,
    table::{AfterDead, Behind, Table, mins},
    write_behind::{Applying, WriteId, WriteState},
    write_queue::answer::QueuedAnswer,
};

#[tokio::test(start_paused = true)]
async fn a_write_is_applied_as_it_was_accepted_and_its_answer_is_kept() {
    let world = World::new().await;
    let seen = Arc::new(Mutex::new(None));
    let record = Arc::clone(&seen);
    let worker = world.start(world.worker(move |request, _| {
        *record.lock().expect("no panic") = Some(request);
        async { Ok(answer(201)) }
    }));
    let id = world.push("7", "one").await;
    let status = world.becomes(id, WriteState::Done).await;
    let kept = status.answer.expect("an answer");
    let kept = QueuedAnswer::decode(&kept).expect("readable");
    assert_eq!(
        (kept.status.as_u16(), &kept.body[..]),
        (201, &b"answer"[..])
    );
    assert!(!kept.is_cut);
    let request = seen.lock().expect("no panic").take().expect("a call");
    assert_eq!(request.uri(), "/agents/7");
    assert_eq!(request.headers()["host"], "api.example.com");
    assert_eq!(request.headers()["idempotency-key"], format!("\"{id}\""));
    let applying = request
        .extensions()
        .get::<Applying>()
        .expect("an extension");
    assert_eq!((applying.id, applying.attempt), (id, 1));
    let user = request.extensions().get::<UserId>().expect("a user");
    assert_eq!(user.as_str(), "alice");
    assert!(!world.journal.has_declaration().await);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_write_holds_up_its_own_key_only_and_keeps_its_place() {
    let world = World::new().await;
    let worker = world.start(world.worker(|request, _| {
        let attempt = request
            .extensions()
            .get::<Applying>()
            .map_or(0, |it| it.attempt);
        async move {
            match (&**request.body(), attempt) {
                ("A", 1) => Err("the database is away".into()),
                ("A", 2) => Ok(answer(503)),
                _ => Ok(answer(200)),
            }
        }
    }));
    let failing = world.push("1", "A").await;
    let behind = world.push("1", "B").await;
    let other = world.push("2", "C").await;
    let last = world.becomes(behind, WriteState::Done).await;
    assert_eq!(world.calls.bodies_of("1"), ["A", "A", "A", "B"]);
    let failing = world.status(failing).await;
    assert_eq!((failing.state, failing.attempts), (WriteState::Done, 3));
    let other = world.status(other).await;
    assert!(other.ended < last.ended, "another key waits for nobody");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_always_panics_is_dead_after_its_attempts_and_its_key_goes_on() {
    let world = World::with(table(Behind::new().attempts(3))).await;
    let worker = world.start(world.worker(|request, _| async move {
        assert_ne!(request.body(), "poison", "poison");
        Ok(answer(200))
    }));
    let poison = world.push("1", "poison").await;
    let next = world.push("1", "next").await;
    world.becomes(next, WriteState::Done).await;
    assert_eq!(world.calls.attempts(), [1, 2, 3, 1]);
    let dead = world.status(poison).await;
    assert_eq!((dead.state, dead.attempts), (WriteState::Dead, 3));
    // The message of the panic is in the log only, as clients can read the reason.
    assert_eq!(dead.reason.as_deref(), Some("the service panicked"));
    assert!(dead.request.is_some(), "it is kept for inspection");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_dead_at_once_and_can_hold_its_key() {
    for (after, goes_on) in [(AfterDead::Continue, true), (AfterDead::Hold, false)] {
        let world = World::with(table(Behind::new().after_dead(after))).await;
        let worker = world.start(world.worker(|request, _| async move {
            Ok(answer(if request.body() == "bad" { 409 } else { 200 }))
        }));
        let bad = world.push("1", "bad").await;
        let next = world.push("1", "next").await;
        let dead = world.becomes(bad, WriteState::Dead).await;
        assert_eq!(
            dead.reason.as_deref(),
            Some("the service answered 409 Conflict")
        );
        let kept = QueuedAnswer::decode(&dead.answer.expect("an answer")).expect("readable");
        assert_eq!(kept.status, 409);
        if !goes_on {
            sleep(mins(1)).await;
            assert_eq!(world.status(next).await.state, WriteState::Waiting);
            assert!(world.queue.inner.delete(bad).await.expect("in process"));
        }
        world.becomes(next, WriteState::Done).await;
        assert_eq!(world.calls.bodies(), ["bad", "next"]);
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed() {
    let world = World::new().await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&times);
    let worker = world.start(world.worker(move |_, number| {
        record.lock().expect("no panic").push(Instant::now());
        let mut response = answer(if number == 1 { 429 } else { 200 });
        let after = "120".parse().expect("a value");
        response.headers_mut().insert("retry-after", after);
        async { Ok(response) }
    }));
    let id = world.push("1", "one").await;
    world.becomes(id, WriteState::Done).await;
    worker.stop().await;
    let times = times.lock().expect("no panic");
    let waited = times[1] - times[0];
    assert!((120 * SECOND..125 * SECOND).contains(&waited), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_cancelled_and_repeated() {
    let world = World::new().await;
    let worker = world.worker(|_, number| async move {
        if number == 1 {
            sleep(mins(10)).await;
        }
        Ok(answer(200))
    });
    let worker = world.start(worker.longest_call(20 * SECOND));
    let id = world.push("1", "one").await;
    let check = || async { world.status(id).await.reason };
    let reason = until("the first attempt to fail", check).await;
    assert_eq!(&*reason, "the service did not answer within 20s");
    world.becomes(id, WriteState::Done).await;
    assert_eq!(world.calls.cancelled.load(Ordering::Relaxed), 1);
    assert!(!world.calls.have_overlapped());
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_route_is_unknown_here_is_tried_again_and_dead_at_last() {
    let world = World::with(table(Behind::new().attempts(4))).await;
    let behind = Behind::new().attempts(4).volatile(true).backoff(SECOND);
    let without = Table::new().host("*").behind(behind);
    world.keep.reload(&without).expect("a valid table");
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let id = world.push("1", "one").await;
    let check = || async { world.status(id).await.reason };
    let reason = until("an attempt", check).await;
    assert_eq!(&*reason, "the table has no route \"/agents/{id}\"");
    assert_eq!(world.status(id).await.state, WriteState::Waiting);
    let dead = world.becomes(id, WriteState::Dead).await;
    assert_eq!(dead.attempts, 4);
    assert_eq!(world.calls.count(), 0);

    // The route is back: the same write can be applied.
    world
        .keep
        .reload(&table(Behind::new()))
        .expect("a valid table");
    assert!(world.queue.inner.retry(id).await.expect("in process"));
    world.becomes(id, WriteState::Done).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_a_dead_letter_and_its_key_goes_on() {
    let world = World::new().await;
    let mut record = request("1", "one").encode().to_vec();
    let last = record.len() - 1;
    record[last] ^= 1;
    let damaged = world.push_record("1", record.into()).await;
    let next = world.push("1", "two").await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    world.becomes(next, WriteState::Done).await;
    let dead = world.status(damaged).await;
    assert_eq!(dead.state, WriteState::Dead);
    assert_eq!(
        dead.reason.as_deref(),
        Some("its record in the queue is damaged")
    );
    assert_eq!(world.calls.bodies(), ["two"]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_of_an_unknown_version_is_left_without_costing_attempts() {
    let world = World::with(table(Behind::new().attempts(2))).await;
    let mut record = request("1", "one").encode().to_vec();
    record[3] = 200;
    let unknown = world.push_record("1", record.into()).await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let other = world.push("2", "two").await;
    world.becomes(other, WriteState::Done).await;
    sleep(mins(10)).await;
    let left = world.status(unknown).await;
    assert_eq!((left.state, left.attempts), (WriteState::Waiting, 0));
    assert_eq!(world.calls.bodies(), ["two"]);
    worker.stop().await;
}

/// Hands the first write of a key out to a worker that dies.
async fn claim_and_die(queue: &dyn Queue, id: WriteId, attempts: u32) {
    let first = FirstWrite {
        key: "agent:1".into(),
        id,
    };
    let terms = ClaimTerms {
        token: fastrand::u64(1..),
        lease: SECOND,
        attempts,
        max_age: mins(1),
    };
    let claim = queue.claim(&first, &terms).await.expect("in process");
    assert!(matches!(claim, Claim::Claimed(_)), "{claim:?}");
    sleep(2 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_has_killed_its_workers_is_buried_without_a_call() {
    let world = World::with(table(Behind::new().attempts(2))).await;
    let id = world.push("1", "kills").await;
    for _ in 0..2 {
        claim_and_die(&*world.queue.inner, id, 2).await;
    }
    let before = world.keep.engine().fence.position();
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let dead = world.becomes(id, WriteState::Dead).await;
    assert_eq!(dead.attempts, 2);
    assert_eq!(world.calls.count(), 0);
    assert!(
        before.is_before(world.keep.engine().fence.position()),
        "a burial appends"
    );
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_write_is_given_up_when_it_is_too_old() {
    let world = World::with(table(Behind::new().max_age(mins(5)).max_backoff(mins(1)))).await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(500)) }));
    let id = world.push("1", "one").await;
    let began = Instant::now();
    let dead = world.becomes(id, WriteState::Dead).await;
    assert!((2..25).contains(&dead.attempts), "{dead:?}");
    assert!((mins(5)..mins(7)).contains(&began.elapsed()));
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_cut() {
    let world = World::with(table(Behind::new().keep_body(10))).await;
    let worker = world.start(world.worker(|_, _| async { Ok(Response::new("x".repeat(1 << 20))) }));
    let id = world.push("1", "one").await;
    let status = world.becomes(id, WriteState::Done).await;
    let kept = QueuedAnswer::decode(&status.answer.expect("an answer")).expect("readable");
    assert_eq!((kept.body.len(), kept.is_cut), (10, true));
    worker.stop().await;
}

/// An idle worker waits for a message, not for a timer.
#[tokio::test(start_paused = true)]
async fn an_accepted_write_is_applied_without_a_delay() {
    let world = World::new().await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    for _ in 0..3 {
        sleep(Duration::from_millis(12_345)).await;
        let pushed = Instant::now();
        let id = world.push("1", "one").await;
        while world.status(id).await.state != WriteState::Done {
            assert!(pushed.elapsed() < Duration::from_millis(3));
            sleep(Duration::from_millis(1)).await;
        }
    }
    worker.stop().await;
}
