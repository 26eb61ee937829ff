//! What becomes of a write after an attempt.

use std::time::Duration;

use http::Response;

use super::{
    backoff,
    call::{CallResponse, CallResult},
    context::WorkerContext,
    verdict::{ResponseVerdict, may_have_committed},
};
use crate::{
    engine::{core::Engine, write_targets::WriteTargets},
    key::purge::PurgeTarget,
    message::client_request::ClientRequest,
    store::contracts::queue::{AttemptOutcome, ClaimedWrite},
    write_queue::{answer::QueuedAnswer, request::QueuedRequest},
};

/// What becomes of a write, and what the caches must know.
pub(super) struct Conclusion {
    pub(super) outcome: AttemptOutcome,
    pub(super) reason: Option<Box<str>>,
    pub(super) answer: Option<QueuedAnswer>,
    /// Whether the write may still be committed.
    pub(super) is_open: bool,
    /// The targets that the response names.
    pub(super) named: Vec<PurgeTarget>,
}

impl Conclusion {
    /// The conclusion from a call of the service.
    pub(super) fn of_call(
        context: &WorkerContext,
        claimed: &ClaimedWrite,
        write: &QueuedRequest,
        result: CallResult,
    ) -> Self {
        let CallResponse { head, answer } = match result {
            CallResult::Answered(response) => *response,
            CallResult::Failed(reason) => {
                return Self {
                    is_open: true,
                    ..Self::again(context, claimed, reason, Duration::ZERO)
                };
            }
        };
        let status = head.status();
        let now = context.engine.clock.now().wall.system();
        let reason = format!("the service answered {status}");
        let conclusion = match ResponseVerdict::of(status, head.headers(), now) {
            ResponseVerdict::Done => Self::without_call(AttemptOutcome::Done, None),
            ResponseVerdict::Refused => Self::dead(context, reason),
            ResponseVerdict::Again(not_before) => Self::again(context, claimed, reason, not_before),
        };
        Self {
            answer: Some(answer),
            is_open: may_have_committed(status),
            named: named_targets(&context.engine, write, &head),
            ..conclusion
        }
    }

    /// The write is tried again, or dead if this was its last attempt.
    pub(super) fn again(
        context: &WorkerContext,
        claimed: &ClaimedWrite,
        reason: impl Into<Box<str>>,
        not_before: Duration,
    ) -> Self {
        let plan = &context.engine.snapshot.load().plan.behind;
        if claimed.attempt >= plan.attempts {
            return Self::dead(context, reason);
        }
        let delay = backoff::delay(claimed.attempt, plan.backoff, plan.max_backoff);
        let outcome = AttemptOutcome::Again(delay.max(not_before));
        Self::without_call(outcome, Some(reason.into()))
    }

    pub(super) fn dead(context: &WorkerContext, reason: impl Into<Box<str>>) -> Self {
        let hold = context.engine.snapshot.load().plan.behind.hold_after_dead;
        Self::without_call(AttemptOutcome::Dead { hold }, Some(reason.into()))
    }

    /// The end of the worker has cancelled the call.
    pub(super) fn cut_short() -> Self {
        Self {
            is_open: true,
            ..Self::without_call(AttemptOutcome::Back, Some("the worker ended".into()))
        }
    }

    fn without_call(outcome: AttemptOutcome, reason: Option<Box<str>>) -> Self {
        Self {
            outcome,
            reason,
            answer: None,
            is_open: false,
            named: Vec::new(),
        }
    }
}

/// The targets that the response's fields name: groups, `Location` and `Content-Location`.
fn named_targets(engine: &Engine, write: &QueuedRequest, head: &Response<()>) -> Vec<PurgeTarget> {
    let request = ClientRequest {
        method: write.method.clone(),
        uri: write.uri.clone(),
        headers: write.headers.clone(),
    };
    let written = WriteTargets::new(request, write.user.as_deref());
    let mut targets = written.groups(head);
    targets.append(&mut written.locations(&engine.snapshot.load(), head));
    targets.retain(|target| !write.targets.contains(target));
    targets
}
