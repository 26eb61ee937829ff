//! Leases that are renewed, lost and taken over, and stores that do not answer.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::sleep;

use super::kit::*;
use crate::{
    support::until,
    table::{Behind, mins},
    write_behind::WriteState,
};

#[tokio::test(start_paused = true)]
async fn a_call_that_is_slower_than_its_lease_is_made_once() {
    let world = World::new().await;
    let slow = || {
        world.worker(|_, _| async {
            sleep(10 * LEASE).await;
            Ok(answer(200))
        })
    };
    let workers = [world.start(slow()), world.start(slow())];
    let id = world.push("1", "slow").await;
    world.calls.reach(1).await;
    sleep(5 * LEASE).await;
    assert!(world.journal.has_declaration().await, "it is renewed, too");
    world.becomes(id, WriteState::Done).await;
    assert_eq!(world.calls.attempts(), [1]);
    assert!(!world.journal.has_declaration().await);
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_before_its_lease_if_renewals_are_not_answered() {
    let world = World::new().await;
    let hanging = world.start(world.worker(|_, number| async move {
        if number == 1 {
            hang().await
        } else {
            Ok(answer(200))
        }
    }));
    let id = world.push("1", "one").await;
    world.calls.reach(1).await;
    world.queue.hang_renewals(true);
    let is_cancelled =
        || async { (world.calls.cancelled.load(Ordering::Relaxed) == 1).then_some(()) };
    until("the call to be cancelled", is_cancelled).await;
    assert!(
        world.journal.has_declaration().await,
        "the cancelled call may still commit"
    );
    world.becomes(id, WriteState::Done).await;
    assert_eq!(world.calls.attempts(), [1, 2]);
    assert!(!world.calls.have_overlapped());
    hanging.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_declaration_of_a_lost_attempt_ends_by_itself() {
    let world = World::new().await;
    let worker = world.worker(|_, _| hang()).longest_call(20 * SECOND);
    let worker = world.start(worker);
    world.push("1", "one").await;
    world.calls.reach(1).await;
    worker.kill().await;
    let ends = || async { (!world.journal.has_declaration().await).then_some(()) };
    until("the declaration to end", ends).await;
}

#[tokio::test(start_paused = true)]
async fn the_write_of_a_worker_that_died_is_applied_by_another_after_its_lease() {
    let world = World::new().await;
    let dying = world.start(world.worker(|_, _| hang()));
    let id = world.push("1", "one").await;
    world.calls.reach(1).await;
    dying.kill().await;
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let status = world.becomes(id, WriteState::Done).await;
    assert_eq!(status.attempts, 2);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn lost_replies_neither_repeat_a_call_nor_cost_an_attempt() {
    for each in [2, 3, 5] {
        let world = World::with(table(Behind::new().attempts(2))).await;
        world.queue.lose_each(each);
        let worker = world.start(world.worker(|_, _| async {
            sleep(2 * LEASE).await;
            Ok(answer(200))
        }));
        let mut ids = Vec::new();
        for number in 0..20 {
            ids.push(
                world
                    .push(&(number % 4).to_string(), &number.to_string())
                    .await,
            );
        }
        for id in ids {
            let status = world.becomes(id, WriteState::Done).await;
            assert_eq!(status.attempts, 1, "each {each}");
        }
        assert_eq!(world.calls.count(), 20);
        for agent in 0..4 {
            let expected: Vec<_> = (0..5)
                .map(|round| (agent + 4 * round).to_string())
                .collect();
            assert_eq!(world.calls.bodies_of(&agent.to_string()), expected);
        }
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_queue_does_not_end_a_worker() {
    let world = World::new().await;
    world.queue.set_away(true);
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let id = world.push("1", "one").await;
    sleep(mins(5)).await;
    assert!(!worker.task.is_finished());
    world.queue.set_away(false);
    world.becomes(id, WriteState::Done).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_the_journal_nothing_is_called_and_no_attempt_counted() {
    let world = World::new().await;
    world.journal.set_away(true);
    let worker = world.start(world.worker(|_, _| async { Ok(answer(200)) }));
    let id = world.push("1", "one").await;
    sleep(mins(1)).await;
    assert_eq!(world.calls.count(), 0);
    world.journal.set_away(false);
    let status = world.becomes(id, WriteState::Done).await;
    assert_eq!(status.attempts, 1);
    worker.stop().await;
}

/// Otherwise the write is in no list, and what it changed is not invalidated.
#[tokio::test(start_paused = true)]
async fn an_attempt_ends_in_the_queue_only_after_its_invalidation_was_appended() {
    let world = World::new().await;
    let worker = world.start(world.worker(|_, _| async {
        sleep(SECOND).await;
        Ok(answer(200))
    }));
    let id = world.push("1", "one").await;
    world.calls.reach(1).await;
    world.journal.set_away(true);
    sleep(10 * LEASE).await;
    assert_eq!(world.status(id).await.state, WriteState::Applying);
    world.journal.set_away(false);
    world.becomes(id, WriteState::Done).await;
    let last_end = world
        .queue
        .inner
        .ask("agent:1")
        .await
        .expect("in process")
        .last_end;
    assert_eq!(last_end, world.keep.engine().fence.position());
    assert_eq!(world.calls.attempts(), [1]);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_leaves_its_declaration_open_and_invalidates_at_once() {
    let world = World::new().await;
    let worker =
        world.worker(|_, number| async move { Ok(answer(if number == 1 { 500 } else { 200 })) });
    let worker = world.start(worker.longest_call(20 * SECOND));
    let id = world.push("1", "one").await;
    let has_failed = || async { world.status(id).await.reason };
    until("the first attempt to fail", has_failed).await;
    assert!(
        world.journal.has_declaration().await,
        "a 5xx may have been committed later"
    );
    let last_end = world
        .queue
        .inner
        .ask("agent:1")
        .await
        .expect("in process")
        .last_end;
    assert!(last_end.is_known());
    world.becomes(id, WriteState::Done).await;
    sleep(LEASE + 21 * SECOND).await;
    let ends = || async { (!world.journal.has_declaration().await).then_some(()) };
    until("the declaration to end", ends).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_declared_for_as_long_as_it_may_still_commit() {
    let world = World::new().await;
    let worker = world.worker(|_, number| async move {
        match number {
            1 => hang().await,
            _ => Ok(answer(409)),
        }
    });
    let worker = world.start(worker.longest_call(20 * SECOND));
    let id = world.push("1", "one").await;
    world.becomes(id, WriteState::Dead).await;
    // The call was cancelled after 20 seconds, and may go on for as long again.
    sleep(15 * SECOND).await;
    assert!(world.journal.has_declaration().await);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_both_stores_loses_nothing() {
    let world = World::new().await;
    let worker = world.start(world.worker(|_, _| async {
        sleep(Duration::from_millis(100)).await;
        Ok(answer(200))
    }));
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(
            world
                .push(&(number % 3).to_string(), &number.to_string())
                .await,
        );
        if number % 10 == 5 {
            world.queue.set_away(true);
            world.journal.set_away(true);
            sleep(2 * LEASE).await;
            world.queue.set_away(false);
            world.journal.set_away(false);
        }
        sleep(Duration::from_millis(50)).await;
    }
    for id in ids {
        world.becomes(id, WriteState::Done).await;
    }
    assert!(!world.calls.have_overlapped());
    worker.stop().await;
}
