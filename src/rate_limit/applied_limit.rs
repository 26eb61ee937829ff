//! A limit that applies to a request, and its result.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    decision::{Decision, LimitDecision},
    subject::LimitSubject,
};
use crate::{
    engine::limiter::LimitEvent,
    quota::{Charge, CombinedDecision, QuotaOutcome, QuotaPolicy, RuleDecision},
    store::contracts::limits::{Counter, Refund, Rule},
};

pub(super) type AppliedLimits = SmallVec<[AppliedLimit; 1]>;

/// A limit of the table that applies to a request.
#[derive(Debug)]
pub(super) struct AppliedLimit {
    /// The limit's index in the table.
    pub(super) index: usize,
    pub(super) policy: Arc<QuotaPolicy>,
    pub(super) subject: LimitSubject,
    pub(super) cost: u64,
    pub(super) shadow: bool,
    pub(super) result: LimitResult,
}

/// The result of a limit for the request.
#[derive(Clone, Copy, Debug)]
pub(super) enum LimitResult {
    /// Not decided: either not yet, or another limit refused first.
    Undecided,
    /// Counted by the shared store, or by this process if `local`.
    Counted { decision: RuleDecision, local: bool },
    /// The store did not answer, and the limit's `on_error` is `open` or `closed`.
    Unavailable { admitted: bool },
}

impl AppliedLimit {
    pub(super) fn has_same_subject(&self, other: &Self) -> bool {
        self.subject.tag() == other.subject.tag()
    }

    pub(super) fn rule(&self) -> Rule<'_> {
        Rule {
            limit: self.counter(),
            charge: Charge {
                quota: self.policy.quota,
                cost: self.cost,
                shadow: self.shadow,
            },
        }
    }

    /// The refund of the charge, if there was one, and whether this process counted it.
    pub(super) fn refund(&self) -> Option<(Refund<'_>, bool)> {
        let LimitResult::Counted { decision, local } = self.result else {
            return None;
        };
        let refund = Refund {
            limit: self.counter(),
            quota: self.policy.quota,
            cost: self.cost,
            anchor: decision.anchor,
        };
        decision.charged.then_some((refund, local))
    }

    /// The limit's index in the table, and the event to count for it.
    pub(super) fn event(&self) -> Option<(usize, LimitEvent)> {
        let event = match (self.outcome()?.admitted, self.shadow) {
            (true, _) => LimitEvent::Admitted,
            (false, true) => LimitEvent::ShadowRefused,
            (false, false) => LimitEvent::Refused,
        };
        Some((self.index, event))
    }

    /// Whether the limit refuses the request; a shadow limit never does.
    pub(super) fn refuses(&self) -> bool {
        !self.shadow && self.outcome().is_some_and(|outcome| !outcome.admitted)
    }

    fn counter(&self) -> Counter<'_> {
        Counter {
            name: &self.policy.name,
            rest: self.subject.rest(),
        }
    }

    fn outcome(&self) -> Option<QuotaOutcome> {
        match self.result {
            LimitResult::Undecided => None,
            LimitResult::Counted { decision, .. } => Some(decision.outcome),
            LimitResult::Unavailable { admitted } => Some(uncounted(admitted)),
        }
    }

    fn decision(&self) -> Option<LimitDecision> {
        Some(LimitDecision {
            policy: Arc::clone(&self.policy),
            outcome: self.outcome()?,
            shadow: self.shadow,
            counted: matches!(self.result, LimitResult::Counted { .. }),
        })
    }
}

/// The outcome of a limit that could not count. A refused client may try again after a second.
fn uncounted(admitted: bool) -> QuotaOutcome {
    QuotaOutcome {
        admitted,
        remaining: 0,
        retry_after: Some(if admitted { 0 } else { 1_000_000 }),
        more_after: None,
    }
}

/// The rules of limits with the same subject.
pub(super) fn rules(limits: &[AppliedLimit]) -> SmallVec<[Rule<'_>; 2]> {
    limits.iter().map(AppliedLimit::rule).collect()
}

/// Records the decision of the limits of one subject. Returns whether they admit the request.
pub(super) fn record<'a>(
    limits: impl IntoIterator<Item = &'a mut AppliedLimit>,
    decision: &CombinedDecision,
    local: bool,
) -> bool {
    for (limit, decision) in limits.into_iter().zip(&decision.by_rule) {
        let decision = *decision;
        limit.result = LimitResult::Counted { decision, local };
    }
    decision.admitted
}

pub(super) fn decision(limits: &[AppliedLimit]) -> Decision {
    let mut decided = SmallVec::new();
    // Faster than `collect` for the usual single limit.
    for limit in limits {
        if let Some(decision) = limit.decision() {
            decided.push(decision);
        }
    }
    Decision { limits: decided }
}
