//! The behaviour suite of the contract for the write-behind queue, run on every store.

mod accepting;
mod applying;
mod ending;
mod managing;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};

use super::*;
use crate::store::position::Position;

/// A queue of a behaviour's own.
#[derive(Clone, Debug)]
pub(in crate::store) struct TestQueue {
    pub(in crate::store) on: Arc<dyn Queue>,
    /// Whether tokio's clock is the store's, so that tests move it.
    pub(in crate::store) is_paused: bool,
}

type QueueBehaviour = fn(TestQueue) -> BoxFuture<'static, ()>;

/// Runs each behaviour on a queue of its own, which `new` makes by number.
pub(in crate::store) async fn run(new: impl AsyncFn(usize) -> TestQueue) {
    let all = [
        accepting::BEHAVIOURS,
        applying::BEHAVIOURS,
        ending::BEHAVIOURS,
        managing::BEHAVIOURS,
    ];
    let mut failed = Vec::new();
    for (number, (name, behaviour)) in all.into_iter().flatten().enumerate() {
        eprintln!("{name}");
        let run = AssertUnwindSafe(behaviour(new(number).await));
        if run.catch_unwind().await.is_err() {
            failed.push(*name);
        }
    }
    assert_eq!(failed, [""; 0]);
}

/// Short, as Redis' clock cannot be moved.
const LEASE: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

const BOUNDS: QueueBounds = QueueBounds {
    max_queue: 1 << 20,
    max_bytes: 1 << 30,
    max_per_key: 1 << 20,
    retention: RETENTION,
    durability: Durability::Memory,
};

const RETENTION: Retention = Retention {
    result: LONG,
    idempotency: LONG,
    max_dead: 1000,
    max_dead_bytes: 1 << 30,
    dead_age: LONG,
};

impl TestQueue {
    fn id(&self, key: &str) -> WriteId {
        WriteId::random(self.on.partition_of(key)).expect("random numbers")
    }

    fn write(&self, key: &str) -> NewWrite {
        NewWrite {
            id: self.id(key),
            key: key.into(),
            user: Some("alice".into()),
            idempotency: None,
            coalescing: Coalescing::Never,
            request: Bytes::from_static(b"request"),
        }
    }

    async fn push_write(&self, write: &NewWrite) -> Pushed {
        self.on.push(write, &BOUNDS).await.expect("pushes")
    }

    /// Accepts a write of this key.
    async fn push(&self, key: &str) -> WriteId {
        let write = self.write(key);
        assert_eq!(self.push_write(&write).await, Pushed::Accepted(None));
        write.id
    }

    async fn due(&self, key: &str) -> Due {
        let partition = self.on.partition_of(key);
        self.on.due(partition, 100).await.expect("due")
    }

    async fn try_claim(&self, key: &str, id: WriteId, terms: ClaimTerms) -> Claim {
        let first = FirstWrite {
            key: key.into(),
            id,
        };
        self.on.claim(&first, &terms).await.expect("claims")
    }

    /// Claims a write that is due.
    async fn claim(&self, key: &str, id: WriteId, token: u64) -> ClaimedWrite {
        match self.try_claim(key, id, terms(token)).await {
            Claim::Claimed(claimed) => claimed,
            other => panic!("{other:?}"),
        }
    }

    async fn end(&self, claimed: &ClaimedWrite, outcome: AttemptOutcome) -> bool {
        let end = end(outcome);
        let ended = self.on.end(&claimed.token, &end, &RETENTION);
        ended.await.expect("ends")
    }

    /// Claims the first write of the key and ends it.
    async fn apply(&self, key: &str, id: WriteId, outcome: AttemptOutcome) {
        let claimed = self.claim(key, id, fastrand::u64(..)).await;
        assert!(self.end(&claimed, outcome).await);
    }

    async fn pending(&self, key: &str) -> Vec<WriteId> {
        self.on.ask(key).await.expect("asks").ids
    }

    async fn status(&self, id: WriteId) -> StoredStatus {
        let status = self.on.status(id).await.expect("a status");
        status.expect("the write is known")
    }

    async fn state(&self, id: WriteId) -> WriteState {
        self.status(id).await.state
    }

    async fn counts(&self) -> QueueCounts {
        self.on.counts().await.expect("counts")
    }

    /// Lets time go on.
    async fn pass(&self, time: Duration) {
        if self.is_paused {
            tokio::time::advance(time).await;
        } else {
            tokio::time::sleep(time).await;
        }
    }

    /// Waits until the first write of the key can be claimed.
    async fn until_claimed(&self, key: &str, id: WriteId, terms: ClaimTerms) -> ClaimedWrite {
        for _ in 0..2000 {
            if let Claim::Claimed(claimed) = self.try_claim(key, id, terms).await {
                return claimed;
            }
            self.pass(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for a claim");
    }
}

/// The terms of a claim that outlives the test.
fn terms(token: u64) -> ClaimTerms {
    ClaimTerms {
        token,
        lease: LONG,
        attempts: 25,
        max_age: LONG,
    }
}

fn short(token: u64) -> ClaimTerms {
    ClaimTerms {
        lease: LEASE,
        ..terms(token)
    }
}

fn end(outcome: AttemptOutcome) -> AttemptEnd {
    AttemptEnd {
        outcome,
        position: Position::UNKNOWN,
        reason: Some("a reason".into()),
        answer: Some(Bytes::from_static(b"answer")),
    }
}
