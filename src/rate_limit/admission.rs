//! The limits of a request, and their decision by the shared store.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    applied_limit::{AppliedLimit, AppliedLimits, LimitResult, record, rules},
    refund::refund,
};
use crate::{
    engine::{
        core::Engine,
        limiter::{LimitEvent, Limiter},
        snapshot::Snapshot,
    },
    table::{OnError, Plan},
};

/// The limits that apply to a request, with the state needed to decide them, and to refund their charges
/// after `call` has returned.
pub(super) struct Admission {
    engine: Arc<Engine>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) limits: AppliedLimits,
}

impl Admission {
    pub(super) fn new(
        engine: &Arc<Engine>,
        snapshot: &Arc<Snapshot>,
        limits: AppliedLimits,
    ) -> Self {
        Self {
            engine: Arc::clone(engine),
            snapshot: Arc::clone(snapshot),
            limits,
        }
    }

    /// Lets the store decide one subject at a time until one is refused. Returns whether all were
    /// admitted.
    pub(super) async fn decide(mut self) -> (Self, bool) {
        for group in self.limits.chunk_by_mut(AppliedLimit::has_same_subject) {
            if !decide_subject(&self.engine.limiter, &self.snapshot.plan, group).await {
                self.refund(|_| true);
                return (self, false);
            }
        }
        (self, true)
    }

    /// Refunds the charges of the limits that `which` selects.
    pub(super) fn refund(&self, which: impl Fn(&AppliedLimit) -> bool) {
        refund(&self.engine.limiter, &self.limits, which);
    }
}

async fn decide_subject(limiter: &Limiter, plan: &Plan, limits: &mut [AppliedLimit]) -> bool {
    let decision = limiter
        .acquire(limits[0].subject.tag(), &rules(limits))
        .await;
    match decision {
        Ok(decision) => record(limits, &decision, false),
        Err(_) => fall_back(limiter, plan, limits),
    }
}

/// Decides without the store, by each limit's `on_error`. If one of the limits refuses, nothing is
/// counted.
fn fall_back(limiter: &Limiter, plan: &Plan, limits: &mut [AppliedLimit]) -> bool {
    let events = limits
        .iter()
        .map(|limit| (limit.index, LimitEvent::Fallback));
    limiter.count(events);
    for limit in limits.iter_mut() {
        let on_error = plan.limits().get(limit.index).map(|limit| limit.on_error);
        limit.result = match on_error {
            Some(OnError::Closed) => LimitResult::Unavailable { admitted: false },
            Some(OnError::Open) => LimitResult::Unavailable { admitted: true },
            _ => LimitResult::Undecided,
        };
    }
    !limits.iter().any(AppliedLimit::refuses) && decide_locally(limiter, limits)
}

/// Lets this process decide the limits whose `on_error` is `local`.
fn decide_locally(limiter: &Limiter, limits: &mut [AppliedLimit]) -> bool {
    let local = |limit: &&mut AppliedLimit| matches!(limit.result, LimitResult::Undecided);
    let limits: SmallVec<[&mut AppliedLimit; 2]> = limits.iter_mut().filter(local).collect();
    if limits.is_empty() {
        return true;
    }
    let rules: SmallVec<[_; 2]> = limits.iter().map(|limit| limit.rule()).collect();
    let decision = limiter.acquire_locally(limits[0].subject.tag(), &rules);
    drop(rules);
    record(limits, &decision, true)
}
