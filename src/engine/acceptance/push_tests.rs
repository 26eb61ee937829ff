//! Pushes whose replies are lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{not_accepted::NotAccepted, push::push, queue_settings};
use crate::{
    clock::Clock,
    error::{Error, Kind},
    store::{
        contracts::{
            StoreFuture,
            queue::{
                Coalescing, NewWrite, Pushed, Queue, QueueBounds, forwarding::ForwardingQueue,
            },
        },
        memory::queue::MemoryQueue,
    },
    table::BehindPlan,
    write_queue::{WriteId, WriteState},
};

/// What happens to the first pushes.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// It is executed, but the reply is lost.
    ReplyLost,
    /// It never arrives.
    RequestLost,
    /// The store refuses it.
    Refused,
}

/// A queue that fails the first pushes.
#[derive(Debug)]
struct FailingQueue {
    queue: MemoryQueue,
    failure: Failure,
    left: AtomicU32,
    pushes: AtomicU32,
}

impl FailingQueue {
    fn new(failure: Failure, times: u32) -> Self {
        Self {
            queue: MemoryQueue::new(Arc::new(Clock::tokio())),
            failure,
            left: AtomicU32::new(times),
            pushes: AtomicU32::new(0),
        }
    }

    async fn push_failing(&self, write: &NewWrite, bounds: &QueueBounds) -> Result<Pushed, Error> {
        self.pushes.fetch_add(1, Ordering::Relaxed);
        let fails = (self.left)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        match (fails, self.failure) {
            (false, _) => self.queue.push(write, bounds).await,
            (true, Failure::ReplyLost) => {
                self.queue.push(write, bounds).await?;
                Err(Error::unavailable("no reply"))
            }
            (true, Failure::RequestLost) => Err(Error::unavailable("no connection")),
            (true, Failure::Refused) => Err(Error::new(Kind::Refused, "out of memory")),
        }
    }
}

impl ForwardingQueue for FailingQueue {
    fn inner(&self) -> &dyn Queue {
        &self.queue
    }

    fn push<'a>(&'a self, write: &'a NewWrite, bounds: &'a QueueBounds) -> StoreFuture<'a, Pushed> {
        Box::pin(self.push_failing(write, bounds))
    }
}

fn write() -> NewWrite {
    NewWrite {
        id: WriteId::random(0).expect("random numbers"),
        key: "agent:7".into(),
        user: None,
        idempotency: None,
        coalescing: Coalescing::Never,
        request: Bytes::from_static(b"a request"),
    }
}

async fn push_to(queue: &FailingQueue) -> Result<Pushed, NotAccepted> {
    push(
        queue,
        &write(),
        &queue_settings::bounds(&BehindPlan::default()),
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn a_push_whose_reply_was_lost_is_repeated_and_accepted_once() {
    for failures in 1..4 {
        let queue = FailingQueue::new(Failure::ReplyLost, failures);
        let pushed = push_to(&queue).await.expect("a reply");
        assert!(
            matches!(pushed, Pushed::Known(_, WriteState::Waiting)),
            "{pushed:?}"
        );
        assert_eq!(queue.queue.counts().await.expect("counts").waiting, 1);
        assert_eq!(queue.pushes.load(Ordering::Relaxed), failures + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_did_not_arrive_is_repeated() {
    let queue = FailingQueue::new(Failure::RequestLost, 2);
    let pushed = push_to(&queue).await.expect("a reply");
    assert_eq!(pushed, Pushed::Accepted(None));
    assert_eq!(queue.queue.counts().await.expect("counts").waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn without_any_reply_the_write_may_have_been_accepted() {
    for failure in [Failure::ReplyLost, Failure::RequestLost] {
        let queue = FailingQueue::new(failure, u32::MAX);
        let start = tokio::time::Instant::now();
        let error = push_to(&queue).await.expect_err("no reply");
        assert!(matches!(error, NotAccepted::Unknown(_)), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(queue.pushes.load(Ordering::Relaxed) > 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_the_store_refuses_is_not_repeated() {
    let queue = FailingQueue::new(Failure::Refused, u32::MAX);
    let error = push_to(&queue).await.expect_err("refused");
    assert!(matches!(error, NotAccepted::Refused(_)), "{error:?}");
    assert_eq!(queue.pushes.load(Ordering::Relaxed), 1);
}
