//! Reads that are asked for at the same time go out together: one message to the connection and one
//! wait for all of them, and to each its own reply, within its own deadline.

use std::{
    future::poll_fn,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use redis::{Cmd, Pipeline, Value};
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::{
    connection::Shared,
    exchange::{Missed, Outcome, in_time},
    verb::Verb,
};

/// So few on their way over one connection go alone: there is little to share.
const FEW: usize = 4;
/// So many go together at most.
const MOST: usize = 32;
/// What the replies to those that go together may amount to, in bytes: the first waits for the last.
const VOLUME: usize = 256 * 1024;

/// The reads of one connection.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Asked for and not yet answered.
    asked: AtomicUsize,
    waiting: Mutex<Batch>,
    /// How many may go together; the larger the last replies were, the fewer.
    room: AtomicUsize,
}

/// Commands, and who waits for the reply to each.
#[derive(Debug)]
pub(super) struct Batch {
    commands: Pipeline,
    waiting: Vec<Sender<Outcome<Value>>>,
}

/// Who asks at the same time. To be dropped with the request.
pub(super) struct Company<'a> {
    asked: &'a AtomicUsize,
    size: usize,
}

/// Who goes out now.
pub(super) enum Departure {
    /// As many as there is room for.
    Full(Batch),
    /// Whoever has come until everybody had the chance to.
    Soon,
}

impl Gathering {
    pub(super) fn enter(&self) -> Company<'_> {
        Company {
            size: self.asked.fetch_add(1, Ordering::Relaxed) + 1,
            asked: &self.asked,
        }
    }

    /// Waits with the others. Whoever is told of a departure has to see to it.
    pub(super) fn join(&self, cmd: Cmd) -> (Receiver<Outcome<Value>>, Option<Departure>) {
        let (sender, reply) = oneshot::channel();
        let mut batch = self.batch();
        batch.commands.add_command(cmd);
        batch.waiting.push(sender);
        let departure = if batch.waiting.len() >= self.room.load(Ordering::Relaxed) {
            Some(Departure::Full(mem::take(&mut *batch)))
        } else {
            (batch.waiting.len() == 1).then_some(Departure::Soon)
        };
        (reply, departure)
    }

    fn batch(&self) -> MutexGuard<'_, Batch> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room by what came back; where that was too late for everybody, half as many go next.
    fn learn(&self, outcome: &Outcome<Vec<Value>>) {
        let room = match outcome {
            Ok((replies, _)) => {
                let bytes: usize = replies.iter().map(size).sum();
                VOLUME * replies.len() / bytes.max(1)
            }
            Err(Missed::Late) => self.room.load(Ordering::Relaxed) / 2,
            Err(_) => return,
        };
        self.room.store(room.clamp(1, MOST), Ordering::Relaxed);
    }
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            asked: AtomicUsize::default(),
            waiting: Mutex::default(),
            room: AtomicUsize::new(MOST),
        }
    }
}

impl Batch {
    fn hand_out(self, outcome: Outcome<Vec<Value>>) {
        // Whoever has left does not want it any more.
        match outcome {
            Ok((replies, after)) => {
                for (waits, reply) in self.waiting.into_iter().zip(replies) {
                    let reply = reply.extract_error();
                    let _ = waits.send(reply.map(|reply| (reply, after)).map_err(Missed::Failed));
                }
            }
            Err(missed) => {
                for waits in self.waiting {
                    let _ = waits.send(Err(missed.clone()));
                }
            }
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            commands: Pipeline::with_capacity(MOST),
            waiting: Vec::with_capacity(MOST),
        }
    }
}

impl Company<'_> {
    pub(super) fn is_small(&self) -> bool {
        self.size <= FEW
    }
}

impl Drop for Company<'_> {
    fn drop(&mut self) {
        self.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends what has gathered before connection `index`, and gives each its reply.
pub(super) fn depart(
    shared: Arc<Shared>,
    index: usize,
    verb: Verb,
    departure: Departure,
) -> Pin<Box<impl Future<Output = ()> + Send>> {
    let mut duty = Duty {
        shared,
        index,
        departure,
    };
    // Boxed here: a task's future is moved a few times.
    Box::pin(async move {
        if let Departure::Soon = duty.departure {
            everybody_ready().await;
        }
        let batch = duty.batch();
        let links = &duty.shared.links;
        let (false, Some(mut wire)) = (batch.waiting.is_empty(), links.wire(duty.index)) else {
            return; // Whoever waits sees that it was not sent.
        };
        let allowed = verb.allowance(duty.shared.deadline());
        let outcome = in_time(allowed, wire.send_all(&batch.commands)).await;
        links.gathering(duty.index).learn(&outcome);
        batch.hand_out(outcome);
    })
}

/// Lets all tasks go first that are ready.
///
/// `tokio::task::yield_now` would let I/O go first, too, and no idle thread could take the task over.
async fn everybody_ready() {
    let mut went = false;
    poll_fn(|context| {
        if mem::replace(&mut went, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Nobody is left waiting by a task that never runs, as where its runtime ends.
struct Duty {
    shared: Arc<Shared>,
    index: usize,
    departure: Departure,
}

impl Duty {
    fn batch(&mut self) -> Batch {
        let none = Batch {
            commands: Pipeline::new(),
            waiting: Vec::new(),
        };
        match mem::replace(&mut self.departure, Departure::Full(none)) {
            Departure::Full(batch) => batch,
            Departure::Soon => mem::take(&mut *self.shared.links.gathering(self.index).batch()),
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        drop(self.batch());
    }
}

fn size(reply: &Value) -> usize {
    match reply {
        Value::BulkString(bytes) => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn replies(count: usize, bytes: usize) -> Outcome<Vec<Value>> {
        let reply = Value::BulkString(vec![0; bytes]);
        Ok((vec![reply; count], Duration::ZERO))
    }

    #[test]
    fn the_larger_the_replies_the_fewer_go_together() {
        let gathering = Gathering::default();
        let room = || gathering.room.load(Ordering::Relaxed);
        for (count, bytes, expected) in [
            (32, 64 * 1024, 4),
            (4, 8 << 20, 1),
            (1, 1024, MOST),
            (32, 0, MOST),
        ] {
            gathering.learn(&replies(count, bytes));
            assert_eq!(room(), expected, "after {count} of {bytes} bytes");
        }
        for expected in [MOST / 2, MOST / 4, MOST / 8] {
            gathering.learn(&Err(Missed::Late));
            assert_eq!(room(), expected, "too late");
        }
        gathering.learn(&Err(Missed::Unsent));
        assert_eq!(room(), MOST / 8, "says nothing");
    }

    #[test]
    fn who_comes_first_and_who_fills_the_batch_see_to_the_departure() {
        let gathering = Gathering::default();
        for number in 1..=2 * MOST {
            let (_, departure) = gathering.join(redis::cmd("GET"));
            match departure {
                Some(Departure::Soon) => assert_eq!(number % MOST, 1),
                Some(Departure::Full(batch)) => {
                    assert_eq!((number % MOST, batch.waiting.len()), (0, MOST));
                }
                None => assert!(number % MOST > 1),
            }
        }
    }
}
