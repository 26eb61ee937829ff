//! Several workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::kit::*;
use crate::write_behind::WriteState;

const WORKERS: usize = 3;

#[tokio::test(start_paused = true)]
async fn several_workers_share_the_keys_and_keep_the_order_of_each() {
    let world = World::new().await;
    let counts: [Arc<AtomicUsize>; WORKERS] = Default::default();
    let workers = counts.each_ref().map(|count| {
        let count = Arc::clone(count);
        let worker = world.worker(move |_, _| {
            count.fetch_add(1, Ordering::Relaxed);
            async {
                sleep(Duration::from_millis(fastrand::u64(1..30))).await;
                Ok(answer(200))
            }
        });
        world.start(worker.concurrency(4))
    });
    let mut last = Vec::new();
    for number in 0..300 {
        last.push(
            world
                .push(&(number % 30).to_string(), &number.to_string())
                .await,
        );
    }
    for id in last {
        let status = world.becomes(id, WriteState::Done).await;
        assert_eq!(status.attempts, 1);
    }
    assert!(
        !world.calls.have_overlapped(),
        "two writes of one key at once"
    );
    for agent in 0..30 {
        let expected: Vec<_> = (0..10)
            .map(|round| (agent + 30 * round).to_string())
            .collect();
        assert_eq!(world.calls.bodies_of(&agent.to_string()), expected);
    }
    for count in counts {
        let count = count.load(Ordering::Relaxed);
        assert!(count >= 300 / WORKERS / 3, "one of them did {count} of 300");
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_applies_as_many_writes_at_a_time_as_it_may() {
    let world = World::new().await;
    for number in 0..40 {
        world.push(&number.to_string(), "one").await;
    }
    let worker = world.worker(|_, _| async {
        sleep(SECOND).await;
        Ok(answer(200))
    });
    let began = Instant::now();
    let worker = world.start(worker.concurrency(8));
    world.calls.reach(40).await;
    let took = began.elapsed();
    assert!((4 * SECOND..6 * SECOND).contains(&took), "{took:?}");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_queue_is_left_alone_until_it_goes_on() {
    let world = World::new().await;
    let set_paused = async |paused| {
        let set = world.queue.inner.set_paused(paused).await;
        set.expect("in process");
    };
    set_paused(true).await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let id = world.push("1", "one").await;
    sleep(60 * SECOND).await;
    assert_eq!(world.calls.count(), 0);
    set_paused(false).await;
    let resumed = Instant::now();
    world.becomes(id, WriteState::Done).await;
    assert!(resumed.elapsed() < SECOND);
    worker.stop().await;
}
