//! The end of a worker.

use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep};

use super::kit::*;
use crate::write_behind::WriteState;

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_waits_for_its_calls_and_takes_no_more() {
    let world = World::new().await;
    let worker = world.worker(|_, _| async {
        sleep(5 * SECOND).await;
        Ok(answer(200))
    });
    let mut worker = world.start(worker.concurrency(1));
    let first = world.push("1", "one").await;
    let second = world.push("2", "two").await;
    world.calls.reach(1).await;
    worker.begin_stop();
    worker.join().await;
    let states = [world.status(first).await, world.status(second).await].map(|it| it.state);
    assert!(states.contains(&WriteState::Done), "{states:?}");
    assert!(states.contains(&WriteState::Waiting), "{states:?}");
    assert_eq!(world.calls.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlasts_the_grace_is_cut_short_and_costs_no_attempt() {
    let world = World::new().await;
    let worker = world.worker(|_, _| hang()).grace(2 * SECOND);
    let mut worker = world.start(worker);
    let id = world.push("1", "one").await;
    world.calls.reach(1).await;
    let began = Instant::now();
    worker.begin_stop();
    worker.join().await;
    assert!((2 * SECOND..4 * SECOND).contains(&began.elapsed()));
    assert_eq!(world.calls.cancelled.load(Ordering::Relaxed), 1);
    let status = world.status(id).await;
    assert_eq!((status.state, status.attempts), (WriteState::Waiting, 0));
    let last_end = world
        .queue
        .inner
        .ask("agent:1")
        .await
        .expect("in process")
        .last_end;
    assert!(
        last_end.is_known(),
        "it may have been committed: it was appended"
    );

    // Another worker need not wait for a lease.
    let began = Instant::now();
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    world.becomes(id, WriteState::Done).await;
    assert!(began.elapsed() < SECOND);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_ends_although_the_stores_do_not_answer() {
    let world = World::new().await;
    let mut worker = world.start(world.worker(|_, _| hang()).grace(SECOND));
    let id = world.push("1", "one").await;
    world.calls.reach(1).await;
    world.queue.set_away(true);
    world.journal.set_away(true);
    let began = Instant::now();
    worker.begin_stop();
    worker.join().await;
    assert!(began.elapsed() < 10 * SECOND);
    world.queue.set_away(false);
    world.journal.set_away(false);
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    world.becomes(id, WriteState::Done).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_ends_at_once() {
    let world = World::new().await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let id = world.push("1", "one").await;
    world.becomes(id, WriteState::Done).await;
    let began = Instant::now();
    worker.stop().await;
    assert!(began.elapsed() < SECOND / 10);
}
