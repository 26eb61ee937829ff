//! An attempt to apply a write: claim, declare, call, append, end.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use tokio::time::Instant;
use tracing::Instrument;

use super::{
    call_slots::CallSlot,
    claiming,
    conclusion::Conclusion,
    context::WorkerContext,
    ending,
    lease::ClaimLease,
    supervised_call::{CallEnd, supervise},
};
use crate::{
    error::{BoxError, Error},
    fence::declaration::Declaration,
    key::purge::PurgeTarget,
    message::{http_service::HttpService, replayable_body::ReplayableBody},
    store::{
        contracts::{
            journal::MAX_PURGES,
            queue::{AttemptEnd, AttemptOutcome, Claim, ClaimedWrite, FirstWrite},
        },
        position::Position,
    },
    write_queue::{Unreadable, request::QueuedRequest},
};

/// What an attempt tells the dispatcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptReport {
    /// The key may have another due write.
    Worked,
    /// The write was not handed out.
    NothingClaimed,
    /// The queue did not answer.
    NoQueue,
    /// The journal did not take the declaration: the write was handed back.
    NoJournal,
    /// The record is of another version: the write was handed back.
    Unreadable,
}

/// Claims the write and applies it.
pub(super) async fn run<S, B>(
    context: Arc<WorkerContext>,
    service: S,
    first: FirstWrite,
    slot: CallSlot,
) -> AttemptReport
where
    S: HttpService<B, ServiceError: Into<BoxError>>,
    B: ReplayableBody,
{
    let Some(reply) = claiming::claim(&context, &first).await else {
        return AttemptReport::NoQueue;
    };
    match reply.claim {
        Claim::Nothing => AttemptReport::NothingClaimed,
        Claim::Lost => {
            context.engine.queue_metrics.lost.increment(1);
            tracing::error!(
                id = %first.id,
                key = &*first.key,
                "an accepted write is lost: its record was removed from Redis by something else than the queue"
            );
            AttemptReport::Worked
        }
        Claim::Claimed(claimed) => {
            let span = tracing::debug_span!(
                "write_behind",
                id = %claimed.token.id,
                key = &*claimed.token.key,
                attempt = claimed.attempt,
            );
            let lease = ClaimLease::new(&context, &claimed.token, reply.asked);
            let attempt = ClaimedAttempt {
                context: &context,
                claimed: &claimed,
                lease,
                slot,
            };
            attempt.run(service).instrument(span).await
        }
    }
}

/// A write that this worker holds.
struct ClaimedAttempt<'a> {
    context: &'a WorkerContext,
    claimed: &'a ClaimedWrite,
    lease: ClaimLease<'a>,
    /// Taken until the call has ended.
    slot: CallSlot,
}

impl ClaimedAttempt<'_> {
    async fn run<S, B>(mut self, service: S) -> AttemptReport
    where
        S: HttpService<B, ServiceError: Into<BoxError>>,
        B: ReplayableBody,
    {
        let write = match QueuedRequest::decode(&self.claimed.request) {
            Ok(write) => write,
            Err(Unreadable::UnknownVersion) => return self.leave_unknown().await,
            Err(Unreadable::Damaged) => {
                let targets = vec![PurgeTarget::Key(self.claimed.token.key.clone())];
                let dead = Conclusion::dead(self.context, "its record in the queue is damaged");
                return self.end_without_call(targets, dead).await;
            }
        };
        let targets = declarable(&write.targets);
        if self.claimed.is_spent {
            let dead = Conclusion::dead(self.context, "its attempts or its time are used up");
            return self.end_without_call(targets, dead).await;
        }
        if !self.has_route(&write) {
            let reason = format!("the table has no route {:?}", write.route);
            let again = Conclusion::again(self.context, self.claimed, reason, Duration::ZERO);
            return self.end_without_call(targets, again).await;
        }
        if self.context.shutdown.has_begun() {
            return self.hand_back(AttemptReport::Worked).await;
        }
        let declared = match self.declare(targets.clone()).await {
            Some(Ok(declared)) => declared,
            Some(Err(error)) => {
                tracing::debug!(%error, "journal unavailable: a queued write waits");
                return self.hand_back(AttemptReport::NoJournal).await;
            }
            None => return self.lose_lease(),
        };
        self.apply(service, &write, targets, declared).await
    }

    /// Calls the service with a declared write, and ends the attempt.
    async fn apply<S, B>(
        mut self,
        service: S,
        write: &QueuedRequest,
        targets: Vec<PurgeTarget>,
        declared: Declaration,
    ) -> AttemptReport
    where
        S: HttpService<B, ServiceError: Into<BoxError>>,
        B: ReplayableBody,
    {
        let call_end = supervise(
            self.context,
            self.claimed,
            &mut self.lease,
            service,
            write,
            &declared,
        )
        .await;
        // The next call need not wait for the stores.
        self.slot.free();
        let conclusion = match call_end {
            CallEnd::Finished(result) => {
                Conclusion::of_call(self.context, self.claimed, write, result)
            }
            CallEnd::Cancelled => Conclusion::cut_short(),
            CallEnd::LeaseLost => {
                declared.keep_open();
                self.context.engine.fence.invalidate_later(targets, false);
                return self.lose_lease();
            }
        };
        let all = [&targets[..], &conclusion.named].concat();
        let Some(position) = self.append(declared, &all, &conclusion).await else {
            return self.lose_lease();
        };
        self.invalidate_again_later(write, &all);
        self.end(position, &all, conclusion).await
    }

    /// Appends the invalidation of the targets: until the journal has taken it, or the lease is lost.
    /// Then it is queued.
    async fn append(
        &mut self,
        declared: Declaration,
        targets: &[PurgeTarget],
        conclusion: &Conclusion,
    ) -> Option<Position> {
        let fence = &self.context.engine.fence;
        let until = Instant::now() + WHILE_LEASED;
        let appended = async {
            if conclusion.is_open {
                declared.keep_open();
                fence.invalidate_by(targets.to_vec(), until).await
            } else {
                declared.close_by(conclusion.named.clone(), until).await
            }
        };
        tokio::select! {
            biased;
            position = appended => position.ok(),
            () = self.lease.keep() => None,
        }
    }

    /// Ends an attempt that has not called the service. An earlier one may have.
    async fn end_without_call(
        mut self,
        targets: Vec<PurgeTarget>,
        conclusion: Conclusion,
    ) -> AttemptReport {
        let fence = &self.context.engine.fence;
        let until = Instant::now() + WHILE_LEASED;
        let position = tokio::select! {
            biased;
            position = fence.invalidate_by(targets.clone(), until) => position.ok(),
            () = self.lease.keep() => None,
        };
        match position {
            Some(position) => self.end(position, &targets, conclusion).await,
            None => self.lose_lease(),
        }
    }

    async fn end(
        mut self,
        position: Position,
        targets: &[PurgeTarget],
        conclusion: Conclusion,
    ) -> AttemptReport {
        let end = AttemptEnd {
            outcome: conclusion.outcome,
            position,
            reason: conclusion.reason,
            answer: conclusion.answer.map(|answer| answer.encode()),
        };
        let ended = ending::end(self.context, &self.claimed.token, &mut self.lease, &end);
        let removed = self.context.engine.tiers.remove_targets(targets);
        let (ended, ()) = join(ended, removed).await;
        if !ended {
            return self.lose_lease();
        }
        ending::report(self.context, self.claimed, &end);
        AttemptReport::Worked
    }

    /// Gives back a write that was not applied. The attempt does not count.
    async fn hand_back(mut self, report: AttemptReport) -> AttemptReport {
        let end = AttemptEnd {
            outcome: AttemptOutcome::Back,
            position: Position::UNKNOWN,
            reason: None,
            answer: None,
        };
        ending::end(self.context, &self.claimed.token, &mut self.lease, &end).await;
        report
    }

    /// Leaves a record that a later release has written to the workers of that release.
    async fn leave_unknown(self) -> AttemptReport {
        self.context.engine.queue_metrics.unreadable.increment(1);
        tracing::error!(
            id = %self.claimed.token.id,
            key = &*self.claimed.token.key,
            "a queued write has a record of an unknown version: it waits, with the later writes of its key, for a worker of the release that has accepted it"
        );
        self.hand_back(AttemptReport::Unreadable).await
    }

    /// The queue or time has taken the write from this worker.
    fn lose_lease(&self) -> AttemptReport {
        self.context.engine.queue_metrics.lost_leases.increment(1);
        tracing::warn!(
            id = %self.claimed.token.id,
            key = &*self.claimed.token.key,
            attempt = self.claimed.attempt,
            "the lease of a queued write was lost: it is applied again by whoever claims it next"
        );
        AttemptReport::Worked
    }

    /// `None` if the lease is lost.
    async fn declare(&mut self, targets: Vec<PurgeTarget>) -> Option<Result<Declaration, Error>> {
        let settings = &self.context.settings;
        // The call may go on for so long after the lease has run out.
        let time = settings.lease + settings.longest_call;
        let fence = &self.context.engine.fence;
        tokio::select! {
            biased;
            declared = fence.declare_as(self.claimed.token.token, targets, time) => Some(declared),
            () = self.lease.keep() => None,
        }
    }

    /// Whether the table has the route for which the write was accepted.
    fn has_route(&self, write: &QueuedRequest) -> bool {
        let snapshot = self.context.engine.snapshot.load();
        let mut routes = snapshot.plan.routes().iter();
        routes.any(|route| route.path == write.route)
    }

    /// Invalidates the targets again after the `settle` of the write's route.
    fn invalidate_again_later(&self, write: &QueuedRequest, targets: &[PurgeTarget]) {
        let engine = &self.context.engine;
        let snapshot = engine.snapshot.load();
        let mut routes = snapshot.plan.routes().iter();
        let route = routes.find(|route| route.path == write.route);
        let delay = route.and_then(|route| route.settle);
        let Some(delay) = delay.filter(|delay| !delay.is_zero()) else {
            return;
        };
        let (targets, work) = (targets.to_vec(), engine.writes.token());
        let engine = Arc::downgrade(engine);
        tokio::spawn(async move {
            let _work = work;
            tokio::time::sleep(delay).await;
            if let Some(engine) = engine.upgrade() {
                // If the journal fails, the invalidation is queued.
                let _ = engine.invalidate(targets, false).await;
            }
        });
    }
}

/// As many targets as a declaration can have.
fn declarable(targets: &[PurgeTarget]) -> Vec<PurgeTarget> {
    if targets.len() > MAX_PURGES {
        return vec![PurgeTarget::Everything];
    }
    targets.to_vec()
}

/// Longer than any outage during which a worker can renew a lease.
const WHILE_LEASED: Duration = Duration::from_secs(24 * 60 * 60);
