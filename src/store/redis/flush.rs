//! The task that sends a batch.

use std::{future::poll_fn, mem, pin::Pin, sync::Arc, task::Poll};

use super::{
    batch::{Flush, ReadBatch},
    command::Command,
    state::ClientState,
    timed_reply::time_reply,
};

/// Sends the batch of connection `index` and gives each caller its reply.
pub(super) fn flush(
    state: Arc<ClientState>,
    index: usize,
    command: Command,
    flush: Flush,
) -> Pin<Box<impl Future<Output = ()> + Send>> {
    let mut task = FlushTask {
        state,
        index,
        flush,
    };
    // Boxed here, as spawning moves the future a few times.
    Box::pin(async move {
        if let Flush::Soon = task.flush {
            let_ready_tasks_run().await;
        }
        let batch = task.take_batch();
        let pool = &task.state.pool;
        let (false, Some(mut connection)) = (batch.is_empty(), pool.connection(task.index)) else {
            return; // The batch is dropped, which its callers notice.
        };
        let allowed = command.timeout(task.state.deadline());
        let replies = time_reply(allowed, connection.send_all(batch.commands())).await;
        pool.queue(task.index).adapt_limit(&replies);
        batch.hand_out(replies);
    })
}

/// A flush that is due. If its task never runs, as when its runtime shuts down, dropping it drops
/// the batch, so that no caller waits for it.
struct FlushTask {
    state: Arc<ClientState>,
    index: usize,
    flush: Flush,
}

impl FlushTask {
    fn take_batch(&mut self) -> ReadBatch {
        match mem::replace(&mut self.flush, Flush::Full(ReadBatch::empty())) {
            Flush::Full(batch) => batch,
            Flush::Soon => self.state.pool.queue(self.index).take(),
        }
    }
}

impl Drop for FlushTask {
    fn drop(&mut self) {
        drop(self.take_batch());
    }
}

/// Lets the tasks that are ready run first, so that their reads join the batch.
///
/// `tokio::task::yield_now` would poll I/O first, too, and no idle thread could steal the task.
async fn let_ready_tasks_run() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
