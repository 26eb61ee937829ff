//! A write from the call of the inner service until its targets are unusable.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::timeout};
use tracing::Instrument;

use super::write_request::WriteRequest;
use crate::{
    engine::core::Engine,
    fence::{capture::Capture, declaration::Declaration},
    key::{KeyBuf, purge::PurgeTarget},
    store::entry::Entry,
};

/// How long the result of a gRPC write may be unknown after the head of its response: as long as an
/// invalidation waits for the content of another response.
const MAX_UNSETTLED: Duration = Duration::from_secs(1);

/// A write that may have been committed. If it is dropped before it is settled, its targets are
/// invalidated as if it had been.
pub(super) struct InFlightWrite {
    pub(super) request: Arc<WriteRequest>,
    declaration: Option<Declaration>,
    began: Capture,
    settled: bool,
    /// Makes [`Keep::flush`](crate::Keep::flush) wait for this write.
    _work: tokio_util::task::task_tracker::TaskTrackerToken,
}

impl InFlightWrite {
    /// Declares the write if its route has `before`. If the journal cannot be reached, the write
    /// continues without a declaration.
    pub(super) async fn begin(request: WriteRequest) -> Self {
        let engine = Arc::clone(request.engine());
        let declared = request.routes.iter().any(|route| route.before);
        let declaration = if declared {
            let (targets, lease) = (request.targets(None), request.config.longest_write);
            let declared = engine.fence.declare(targets, lease).await;
            let warn = |error: &_| {
                tracing::warn!(
                    %error,
                    "journal unavailable: a write with `before` continues without a declaration"
                );
            };
            declared.inspect_err(warn).ok()
        } else {
            None
        };
        Self {
            request: Arc::new(request),
            declaration,
            // Before the inner service is called, so that no write during the call is missed.
            began: engine.fence.capture(),
            settled: false,
            _work: engine.writes.token(),
        }
    }

    /// Appends an invalidation of the targets and removes the entries of exact keys. Returns
    /// `false` if the journal has not taken it. It is then queued, and this process does not use
    /// the entries that it names until the journal has taken it.
    pub(super) async fn settle(self, targets: Vec<PurgeTarget>) -> bool {
        self.settle_with(targets, None).await
    }

    /// Settles as [`settle`](Self::settle) does, and stores `replacement`, unless the write was declared
    /// or another write may have happened meanwhile.
    pub(super) async fn settle_with(
        mut self,
        targets: Vec<PurgeTarget>,
        replacement: Option<(KeyBuf, Entry)>,
    ) -> bool {
        let engine = Arc::clone(self.request.engine());
        let again = self.settle_delay().map(|delay| (delay, targets.clone()));
        // From here, the fence queues the invalidation if this future is dropped.
        self.settled = true;
        let appended = match (self.declaration.take(), replacement) {
            (Some(declaration), _) => engine.close(declaration, targets).await,
            (None, Some((key, entry))) => {
                engine
                    .write_through(&self.began, targets, &key, entry)
                    .await
            }
            (None, None) if targets.is_empty() => Ok(()),
            (None, None) => engine.invalidate(targets, false).await,
        };
        if let Some((delay, targets)) = again {
            invalidate_after(delay, targets, &engine);
        }
        appended.is_ok()
    }

    /// Starts to invalidate what the write may have changed if it is not settled within [`MAX_UNSETTLED`]:
    /// the client decides when the end of the response is read. Dropping the result ends that.
    pub(super) fn invalidate_if_late(&self, mut named: Vec<PurgeTarget>) -> oneshot::Sender<()> {
        let (settling, is_settling) = oneshot::channel();
        let (request, settle) = (Arc::clone(&self.request), self.settle_delay());
        let late = async move {
            if timeout(MAX_UNSETTLED, is_settling).await.is_err() {
                named.append(&mut request.possible_targets());
                let _ = request.engine().invalidate(named.clone(), false).await;
                if let Some(delay) = settle {
                    invalidate_after(delay, named, request.engine());
                }
            }
        };
        tokio::spawn(late.in_current_span());
        settling
    }

    /// Settles a committed write without reading its response's content.
    pub(super) async fn settle_written(self, mut targets: Vec<PurgeTarget>) -> bool {
        self.request.report_skipped_targets();
        targets.append(&mut self.request.targets(None));
        self.settle(targets).await
    }

    /// Settles a write that was not committed, but whose target must not be served.
    pub(super) async fn settle_target(self, mut targets: Vec<PurgeTarget>) -> bool {
        targets.append(&mut self.request.own_targets());
        self.settle(targets).await
    }

    /// Settles a write that may have been committed or may still be committed. Its declaration
    /// stays open.
    pub(super) async fn settle_unknown(mut self, targets: Vec<PurgeTarget>) -> bool {
        if self.request.is_unfinished() {
            return self.settle_target(targets).await;
        }
        self.keep_declaration_open();
        self.settle_written(targets).await
    }

    /// Keeps the declaration open until the write can no longer be committed.
    fn keep_declaration_open(&mut self) {
        if let Some(declaration) = self.declaration.take() {
            declaration.keep_open();
        }
    }

    /// The delay after which the targets are invalidated again (`settle`).
    fn settle_delay(&self) -> Option<Duration> {
        let routes = self.request.routes_now();
        let delays = routes.iter().filter_map(|route| route.settle);
        delays.max().filter(|delay| !delay.is_zero())
    }
}

/// Invalidates the targets in a spawned task after the delay.
fn invalidate_after(delay: Duration, targets: Vec<PurgeTarget>, engine: &Arc<Engine>) {
    if targets.is_empty() {
        return;
    }
    let (work, engine) = (engine.writes.token(), Arc::downgrade(engine));
    tokio::spawn(async move {
        let _work = work;
        tokio::time::sleep(delay).await;
        if let Some(engine) = engine.upgrade() {
            let _ = engine.invalidate(targets, false).await;
        }
    });
}

impl Drop for InFlightWrite {
    fn drop(&mut self) {
        if !self.settled {
            if self.request.is_unfinished() {
                // Closes the declaration.
                self.declaration = None;
            } else {
                self.keep_declaration_open();
            }
            let targets = self.request.possible_targets();
            let fence = &self.request.engine().fence;
            fence.invalidate_later(targets, false);
        }
    }
}
