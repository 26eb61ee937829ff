//! Batches of reads: reads that are requested at the same time go out in one message over one
//! connection. Each caller gets its own reply, within its own deadline.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use redis::{Cmd, Pipeline, Value};
use tokio::sync::oneshot::{self, Receiver, Sender};

use super::timed_reply::{CallFailure, TimedReply};

/// The reads of one connection.
#[derive(Debug)]
pub(super) struct BatchQueue {
    in_flight: AtomicUsize,
    current: Mutex<ReadBatch>,
    /// The size of a full batch, which shrinks as the replies get larger.
    limit: AtomicUsize,
}

/// Commands, and a sender for the reply to each.
#[derive(Debug)]
pub(super) struct ReadBatch {
    commands: Pipeline,
    callers: Vec<Sender<TimedReply<Value>>>,
}

/// Counts a read as in flight until it is dropped.
pub(super) struct InFlight<'a> {
    count: &'a AtomicUsize,
    /// How many reads were in flight when this one began, itself included.
    at_start: usize,
}

/// Which batch the caller must send, and when.
pub(super) enum Flush {
    /// This batch, now: it has reached the limit.
    Full(ReadBatch),
    /// The current batch, as soon as the tasks that are ready have had the chance to join it.
    Soon,
}

impl BatchQueue {
    pub(super) fn enter(&self) -> InFlight<'_> {
        InFlight {
            at_start: self.in_flight.fetch_add(1, Ordering::Relaxed) + 1,
            count: &self.in_flight,
        }
    }

    /// Queues `cmd` in the current batch. If a `Flush` is returned, the caller must run it.
    pub(super) fn push(&self, cmd: Cmd) -> (Receiver<TimedReply<Value>>, Option<Flush>) {
        let (sender, reply) = oneshot::channel();
        let mut batch = self.current();
        batch.commands.add_command(cmd);
        batch.callers.push(sender);
        let flush = if batch.callers.len() >= self.limit.load(Ordering::Relaxed) {
            Some(Flush::Full(mem::take(&mut *batch)))
        } else {
            (batch.callers.len() == 1).then_some(Flush::Soon)
        };
        (reply, flush)
    }

    /// Takes the current batch.
    pub(super) fn take(&self) -> ReadBatch {
        mem::take(&mut *self.current())
    }

    /// Adapts the limit to the size of the replies; halves it if they came too late.
    pub(super) fn adapt_limit(&self, replies: &TimedReply<Vec<Value>>) {
        let limit = match replies {
            Ok((replies, _)) => {
                let bytes: usize = replies.iter().map(size).sum();
                MAX_REPLY_BYTES * replies.len() / bytes.max(1)
            }
            Err(CallFailure::TimedOut) => self.limit.load(Ordering::Relaxed) / 2,
            Err(_) => return,
        };
        self.limit
            .store(limit.clamp(1, MAX_BATCH), Ordering::Relaxed);
    }

    fn current(&self) -> MutexGuard<'_, ReadBatch> {
        #[cfg(test)]
        crate::schedule::switch_point();
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for BatchQueue {
    fn default() -> Self {
        Self {
            in_flight: AtomicUsize::default(),
            current: Mutex::default(),
            limit: AtomicUsize::new(MAX_BATCH),
        }
    }
}

impl ReadBatch {
    /// A batch that no command is added to; it does not allocate.
    pub(super) fn empty() -> Self {
        Self {
            commands: Pipeline::new(),
            callers: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    pub(super) fn commands(&self) -> &Pipeline {
        &self.commands
    }

    /// Sends each caller its reply; callers that have been cancelled are skipped.
    pub(super) fn hand_out(self, replies: TimedReply<Vec<Value>>) {
        match replies {
            Ok((replies, after)) => {
                for (caller, reply) in self.callers.into_iter().zip(replies) {
                    let reply = reply.extract_error();
                    let reply = reply.map(|reply| (reply, after));
                    let _ = caller.send(reply.map_err(CallFailure::Failed));
                }
            }
            Err(failure) => {
                for caller in self.callers {
                    let _ = caller.send(Err(failure.clone()));
                }
            }
        }
    }
}

impl Default for ReadBatch {
    fn default() -> Self {
        Self {
            commands: Pipeline::with_capacity(MAX_BATCH),
            callers: Vec::with_capacity(MAX_BATCH),
        }
    }
}

impl InFlight<'_> {
    /// True if there are so few reads that batching them gains nothing.
    pub(super) fn are_few(&self) -> bool {
        self.at_start <= MAX_UNBATCHED
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

fn size(reply: &Value) -> usize {
    match reply {
        Value::BulkString(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Up to this many reads in flight over one connection are sent one by one.
const MAX_UNBATCHED: usize = 4;
/// The largest limit of a batch.
const MAX_BATCH: usize = 32;
/// The size that all replies of a batch should have, as the first waits for the last.
const MAX_REPLY_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod schedule_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn replies(count: usize, bytes: usize) -> TimedReply<Vec<Value>> {
        let reply = Value::BulkString(vec![0; bytes]);
        Ok((vec![reply; count], Duration::ZERO))
    }

    /// The size of the next full batch.
    fn full_size(queue: &BatchQueue) -> usize {
        loop {
            if let (_, Some(Flush::Full(batch))) = queue.push(redis::cmd("GET")) {
                return batch.callers.len();
            }
        }
    }

    #[test]
    fn larger_or_late_replies_make_smaller_batches() {
        let queue = BatchQueue::default();
        for (count, bytes, expected) in [
            (32, 64 * 1024, 4),
            (4, 8 << 20, 1),
            (1, 1024, MAX_BATCH),
            (32, 0, MAX_BATCH),
        ] {
            queue.adapt_limit(&replies(count, bytes));
            assert_eq!(
                full_size(&queue),
                expected,
                "after {count} of {bytes} bytes"
            );
        }
        for expected in [MAX_BATCH / 2, MAX_BATCH / 4, MAX_BATCH / 8] {
            queue.adapt_limit(&Err(CallFailure::TimedOut));
            assert_eq!(full_size(&queue), expected, "too late");
        }
        queue.adapt_limit(&Err(CallFailure::NotSent));
        assert_eq!(
            full_size(&queue),
            MAX_BATCH / 8,
            "nothing is known of the replies"
        );
    }

    #[test]
    fn the_first_and_the_last_caller_of_a_batch_flush_it() {
        let queue = BatchQueue::default();
        for number in 1..=2 * MAX_BATCH {
            let (_, flush) = queue.push(redis::cmd("GET"));
            match flush {
                Some(Flush::Soon) => assert_eq!(number % MAX_BATCH, 1),
                Some(Flush::Full(batch)) => {
                    assert_eq!((number % MAX_BATCH, batch.callers.len()), (0, MAX_BATCH));
                }
                None => assert!(number % MAX_BATCH > 1),
            }
        }
    }
}
