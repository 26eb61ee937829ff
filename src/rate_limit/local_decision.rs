//! Decisions that this process makes without asking the shared store.

use super::{
    applied_limit::{AppliedLimit, LimitResult, record, rules},
    refund::refund,
};
use crate::engine::limiter::Limiter;

/// Whether the limits admit the request; `None` if the shared store has to decide.
pub(super) fn decide(limiter: &Limiter, limits: &mut [AppliedLimit]) -> Option<bool> {
    if limiter.is_shared() {
        let mut groups = limits.chunk_by_mut(AppliedLimit::has_same_subject);
        let refused = groups.any(|group| is_known_refusal(limiter, group));
        return refused.then_some(false);
    }
    if let [limit] = limits {
        return Some(decide_one(limiter, limit));
    }
    let mut groups = limits.chunk_by_mut(AppliedLimit::has_same_subject);
    let admitted = groups.all(|group| {
        let decision = limiter.acquire_locally(group[0].subject.tag(), &rules(group));
        record(group, &decision, true)
    });
    if !admitted {
        refund(limiter, limits, |_| true);
    }
    Some(admitted)
}

/// Decides a request with a single limit: a shorter path for the usual case.
fn decide_one(limiter: &Limiter, limit: &mut AppliedLimit) -> bool {
    let decision = limiter.acquire_one_locally(limit.subject.tag(), &limit.rule());
    limit.result = LimitResult::Counted {
        decision,
        local: true,
    };
    decision.outcome.admitted || limit.shadow
}

/// Whether the store has refused the subject of these limits recently and would refuse it again.
fn is_known_refusal(limiter: &Limiter, limits: &mut [AppliedLimit]) -> bool {
    let known = limiter.known_refusals(limits[0].subject.tag(), &rules(limits));
    for (limit, decision) in limits.iter_mut().zip(known.iter().flatten()) {
        if let Some(decision) = *decision {
            limit.result = LimitResult::Counted {
                decision,
                local: false,
            };
        }
    }
    known.is_some()
}
