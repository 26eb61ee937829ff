//! The lease of a claimed write.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::context::WorkerContext;
use crate::{
    clock::nanos, error::Error, fence::declaration::Declaration,
    store::contracts::queue::ClaimToken,
};

/// A claim's lease, which its holder must renew.
///
/// It counts from when its last successful request was sent, so it ends here before it ends in the
/// store; on the monotonic clock, so that a process that slept notices.
pub(super) struct ClaimLease<'a> {
    context: &'a WorkerContext,
    token: &'a ClaimToken,
    /// On the monotonic clock.
    until: u64,
    /// When to renew it next.
    renew_at: Instant,
}

impl<'a> ClaimLease<'a> {
    /// A lease that was asked for when the monotonic clock read `asked`.
    pub(super) fn new(context: &'a WorkerContext, token: &'a ClaimToken, asked: u64) -> Self {
        let mut lease = Self {
            context,
            token,
            until: 0,
            renew_at: Instant::now(),
        };
        lease.extend(asked);
        lease
    }

    /// The time for which the lease is certainly held.
    pub(super) fn remaining(&self) -> Duration {
        Duration::from_nanos(self.until.saturating_sub(self.context.engine.clock.mono()))
    }

    /// Waits until it is time for a renewal.
    pub(super) async fn is_due(&self) {
        sleep_until(self.renew_at).await;
    }

    /// Tries once to renew the lease, and with it the declaration of the attempt. Returns false if the
    /// lease is lost: it was refused, or has run out without an answer.
    pub(super) async fn try_renew(&mut self, declaration: Option<&Declaration>) -> bool {
        let asked = self.context.engine.clock.mono();
        match timeout(self.remaining(), self.renew_both(declaration)).await {
            Ok(Ok(true)) => self.extend(asked),
            Ok(Ok(false)) => self.until = 0,
            unanswered => {
                if let Ok(Err(error)) = unanswered {
                    tracing::debug!(%error, id = %self.token.id, "a lease could not be renewed yet");
                }
                let retry = (self.context.settings.lease / 20).min(LONGEST_RETRY);
                self.renew_at = Instant::now() + retry.min(self.remaining());
            }
        }
        !self.remaining().is_zero()
    }

    /// Renews the lease in time, until it is lost.
    pub(super) async fn keep(&mut self) {
        loop {
            self.is_due().await;
            if !self.try_renew(None).await {
                return;
            }
        }
    }

    async fn renew_both(&self, declaration: Option<&Declaration>) -> Result<bool, Error> {
        let settings = &self.context.settings;
        let queue = &self.context.queue;
        let is_held = queue.renew(self.token, settings.lease).await?;
        if let Some(declaration) = declaration.filter(|_| is_held) {
            declaration
                .renew(settings.lease + settings.longest_call)
                .await?;
        }
        Ok(is_held)
    }

    /// The lease was confirmed by the reply to a request that was sent at `asked`.
    fn extend(&mut self, asked: u64) {
        let lease = self.context.settings.lease;
        self.until = asked.saturating_add(nanos(lease));
        self.renew_at = Instant::now() + self.remaining().saturating_sub(lease.mul_f64(2.0 / 3.0));
    }
}

const LONGEST_RETRY: Duration = Duration::from_secs(1);
