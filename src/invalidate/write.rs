//! A request that may change something, from its arrival until what it changed is unusable.

use std::{sync::Arc, time::Duration};

use arc_swap::Guard;
use http::{Method, Response, request};
use serde_json::Value;

use super::layer::Config;
use crate::{
    engine::{busy::Work, snapshot::Snapshot, targets::WriteTargets},
    fence::{Capture, Declaration},
    key::{Key, KeyBuf, purge::PurgeTarget},
    message::layer_markers::LayerMarkers,
    semantics::invalidation,
    store::entry::Entry,
    table::{RoutePlan, Unlisted},
};

/// What a request invalidates if it has changed something.
pub(super) struct Write {
    pub(super) config: Arc<Config>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) route: Option<Arc<RoutePlan>>,
    pub(super) changed: WriteTargets,
    /// What the layer's own function makes of the target.
    own: Option<Key>,
}

impl Write {
    /// `None` for a request that changes nothing, or that nobody handles.
    pub(super) fn of(config: &Arc<Config>, parts: &request::Parts) -> Option<Self> {
        if invalidation::is_safe(&parts.method) || parts.method == Method::CONNECT {
            return None;
        }
        let keep = config.keep.engine();
        let snapshot = keep.snapshot.load();
        let target = keep.target(parts);
        let route = match snapshot.plan.route(target.path, target.host) {
            Some(matched) if matched.plan().is_safe(&parts.method) => return None,
            Some(matched) => Some(Arc::clone(matched.plan())),
            None if snapshot.plan.unlisted == Unlisted::Pass => return None,
            None => None,
        };
        if LayerMarkers::of(&parts.extensions).invalidate == keep.id() {
            keep.misused("an InvalidateLayer is applied twice to the same request; the inner one does nothing");
            return None;
        }
        let user = keep.user(&snapshot, parts);
        let changed = WriteTargets::by(
            keep.client_request(parts),
            user.as_ref().map(|user| user.id()),
        );
        let own = config.key.as_ref().filter(|_| route.is_some());
        let own = own.and_then(|derive| derive(parts));
        Some(Self {
            config: Arc::clone(config),
            snapshot: Guard::into_inner(snapshot),
            route,
            changed,
            own,
        })
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.route
            .as_ref()
            .is_some_and(|route| route.grpc.is_some())
    }

    pub(super) fn needs_answer(&self) -> bool {
        let route = self.route.as_ref();
        route.is_some_and(|route| route.invalidates_need_answer())
    }

    /// What the route says, and the target's own key. Fields of an answer that is not there match
    /// everything.
    pub(super) fn subjects(&self, answer: Option<&Value>) -> Vec<PurgeTarget> {
        let mut subjects = match self.changed.route(&self.snapshot) {
            Some(matched) => matched.invalidates(&self.changed.inputs(), answer),
            None => Vec::new(),
        };
        subjects.push(self.changed.target(&self.snapshot));
        subjects.extend(
            self.own
                .as_ref()
                .map(|key| PurgeTarget::Key(key.as_str().into())),
        );
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    }

    /// What the answer's own fields say.
    pub(super) fn named_by<B>(&self, response: &Response<B>) -> Vec<PurgeTarget> {
        let mut subjects = self.changed.groups(response);
        subjects.append(&mut self.changed.locations(&self.snapshot, response));
        subjects
    }

    /// Declares the write where the route wants that (`before`).
    ///
    /// A journal that cannot be reached does not stop the write: it is then as one that was not to
    /// be declared.
    pub(super) async fn begin(self) -> UnderWay {
        let declared = self.route.as_ref().is_some_and(|route| route.before);
        let keep = Arc::clone(self.config.keep.engine());
        let declaration = if declared {
            let fence = &keep.fence;
            let opened = fence
                .open(self.subjects(None), self.config.longest_write)
                .await;
            opened
                .inspect_err(|error| tracing::warn!(%error, "a write could not be declared"))
                .ok()
        } else {
            None
        };
        UnderWay {
            write: self,
            declaration,
            // Before the inner service is called: other writes count from here on.
            began: keep.fence.capture(),
            settled: false,
            _work: keep.writes.begin(),
        }
    }
}

/// A write that may have happened by now: dropped before it is settled, it counts as if it had.
pub(super) struct UnderWay {
    pub(super) write: Write,
    declaration: Option<Declaration>,
    began: Capture,
    settled: bool,
    /// For whoever flushes.
    _work: Work,
}

impl UnderWay {
    /// Makes the subjects unusable: appended, exact keys removed. What the journal does not take is
    /// queued, and not used at this process until it does; then this answers `false`.
    pub(super) async fn settle(self, subjects: Vec<PurgeTarget>) -> bool {
        self.settle_with(subjects, None).await
    }

    /// As [`settle`](Self::settle), and stores `replacement` unless another write may have come
    /// between. A declared write is only invalidated.
    pub(super) async fn settle_with(
        mut self,
        subjects: Vec<PurgeTarget>,
        replacement: Option<(KeyBuf, Entry)>,
    ) -> bool {
        let keep = Arc::clone(self.write.config.keep.engine());
        let again = self.settle_delay().map(|delay| (delay, subjects.clone()));
        // Dropped from here on, they are queued by the fence.
        self.settled = true;
        let appended = match (self.declaration.take(), replacement) {
            (Some(declaration), _) => {
                let declared = self.write.subjects(None);
                keep.close(declaration, &declared, subjects).await
            }
            (None, Some((key, entry))) => {
                keep.write_through(&self.began, subjects, &key, entry).await
            }
            (None, None) if subjects.is_empty() => Ok(()),
            (None, None) => keep.invalidate(subjects, false).await,
        };
        if let Some((delay, subjects)) = again.filter(|(_, subjects)| !subjects.is_empty()) {
            let (work, keep) = (keep.writes.begin(), Arc::downgrade(&keep));
            tokio::spawn(async move {
                let _work = work;
                tokio::time::sleep(delay).await;
                if let Some(keep) = keep.upgrade() {
                    let _ = keep.invalidate(subjects, false).await;
                }
            });
        }
        appended.is_ok()
    }

    /// It has been written, and the answer says no more than that.
    pub(super) async fn settle_written(self, mut named: Vec<PurgeTarget>) -> bool {
        named.append(&mut self.write.subjects(None));
        self.settle(named).await
    }

    /// It may have been written, or may still be: a declaration stays open until it no longer can.
    pub(super) async fn settle_unknown(mut self, named: Vec<PurgeTarget>) -> bool {
        self.leave_declared();
        self.settle_written(named).await
    }

    /// Until the write can no longer be committed.
    fn leave_declared(&mut self) {
        if let Some(declaration) = self.declaration.take() {
            declaration.linger();
        }
    }

    /// How long after the write reads may lag behind it.
    fn settle_delay(&self) -> Option<Duration> {
        let route = self.write.route.as_ref()?;
        route.settle.filter(|delay| !delay.is_zero())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.settled {
            self.leave_declared();
            let subjects = self.write.subjects(None);
            let keep = self.write.config.keep.engine();
            keep.fence.invalidate_later(subjects, false);
        }
    }
}
