//! Batches under many interleavings of callers and flush tasks.

use std::{sync::Arc, time::Duration};

use redis::Value;
use shuttle::{future::block_on, thread};

use super::{BatchQueue, Flush};
use crate::schedule::{explore, switch_point};

/// Each command is its own reply.
fn send(queue: &BatchQueue, flush: Flush) {
    let batch = match flush {
        Flush::Full(batch) => batch,
        Flush::Soon => {
            switch_point();
            queue.take()
        }
    };
    let echo = |cmd: &redis::Cmd| Value::BulkString(cmd.get_packed_command());
    let replies = batch.commands().cmd_iter().map(echo).collect();
    batch.hand_out(Ok((replies, Duration::ZERO)));
}

fn read(queue: &Arc<BatchQueue>, name: &str) -> Option<Value> {
    let cmd = redis::cmd(name);
    let (reply, flush) = queue.push(cmd);
    if let Some(flush) = flush {
        let queue = Arc::clone(queue);
        thread::spawn(move || send(&queue, flush));
    }
    let reply = block_on(reply).ok()?;
    Some(reply.expect("a reply").0)
}

#[test]
fn every_caller_gets_its_own_reply_however_full_the_batch_is() {
    for limit in [1, 2, 32] {
        explore(move || {
            let queue = Arc::new(BatchQueue::default());
            queue
                .limit
                .store(limit, std::sync::atomic::Ordering::Relaxed);
            let callers = ["ONE", "TWO", "THREE"].map(|name| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || (name, read(&queue, name)))
            });
            for caller in callers {
                let (name, reply) = caller.join().expect("no panic");
                let own = Value::BulkString(redis::cmd(name).get_packed_command());
                assert_eq!(reply, Some(own));
            }
            assert!(queue.take().is_empty(), "nobody is left in the queue");
        });
    }
}

#[test]
fn a_flush_that_never_runs_leaves_no_caller_waiting() {
    explore(|| {
        let queue = Arc::new(BatchQueue::default());
        let callers = ["ONE", "TWO"].map(|name| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let (reply, flush) = queue.push(redis::cmd(name));
                // Like a flush task that is dropped before it runs.
                if let Some(Flush::Soon) = flush {
                    switch_point();
                    drop(queue.take());
                }
                block_on(reply).is_err()
            })
        });
        for caller in callers {
            assert!(caller.join().expect("no panic"));
        }
    });
}
