//! Work that goes on behind callers' backs, counted, so that an end can wait for it.

use std::sync::Arc;

use tokio::sync::watch;

/// How much is under way.
#[derive(Debug, Default)]
pub(crate) struct Busy(watch::Sender<usize>);

/// Some work; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Work(Arc<Busy>);

impl Busy {
    pub(crate) fn begin(self: &Arc<Self>) -> Work {
        self.0.send_modify(|count| *count += 1);
        Work(Arc::clone(self))
    }

    /// Waits until nothing is under way.
    pub(crate) async fn idle(&self) {
        // It holds the sender.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_is_idle_when_all_work_is_over() {
        let busy = Arc::<Busy>::default();
        let (one, other) = (busy.begin(), busy.begin());
        let mut idle = Box::pin(busy.idle());
        drop(one);
        assert!(idle.as_mut().now_or_never().is_none());
        drop(other);
        assert!(idle.now_or_never().is_some());
    }
}
