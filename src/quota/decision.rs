//! The combined decision of all rules of one subject: all of them admit, or nothing is charged.

use smallvec::SmallVec;

use super::{algorithm_state::QuotaOutcome, quota::Quota, state::QuotaState};

/// A quota, and the cost of the request under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) quota: Quota,
    pub(crate) cost: u64,
    /// Whether the rule only reports and never refuses. It is charged if it would admit.
    pub(crate) shadow: bool,
}

/// The decision of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleDecision {
    pub(crate) outcome: QuotaOutcome,
    /// Whether the cost was taken from the quota.
    pub(crate) charged: bool,
    /// Identifies the charge for a later refund; 0 if there was none.
    pub(crate) anchor: u64,
}

/// The decision of all rules of one subject together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CombinedDecision {
    /// Whether no rule refused, ignoring shadow rules.
    pub(crate) admitted: bool,
    /// The time of the decision, in microseconds of the store's clock.
    pub(crate) now: u64,
    /// One decision for each rule, in their order.
    pub(crate) by_rule: SmallVec<[RuleDecision; 2]>,
}

impl Charge {
    /// Decides as if there were no other rule.
    #[inline]
    pub(crate) fn decide(&self, state: &mut QuotaState, now: u64) -> RuleDecision {
        RuleDecision::new(&self.quota, state, now, Some(self.cost))
    }
}

impl RuleDecision {
    #[inline]
    fn new(quota: &Quota, state: &mut QuotaState, now: u64, cost: Option<u64>) -> Self {
        let outcome = state.decide(quota, now, cost);
        let charged = cost.is_some() && outcome.admitted;
        Self {
            outcome,
            charged,
            anchor: if charged { state.anchor(now) } else { 0 },
        }
    }

    /// The remaining quota; nothing is charged or refused.
    pub(crate) fn peek(quota: &Quota, state: &mut QuotaState, now: u64) -> Self {
        Self::new(quota, state, now, None)
    }
}

impl CombinedDecision {
    /// Decides for rules in their current states, which become those after the decision.
    pub(crate) fn decide(now: u64, rules: &mut [(Charge, QuotaState)]) -> Self {
        let admits: SmallVec<[bool; 4]> = rules
            .iter_mut()
            .map(|(charge, state)| state.admits(&charge.quota, now, charge.cost))
            .collect();
        let mut each = rules.iter().zip(&admits);
        let admitted = each.all(|((charge, _), admits)| *admits || charge.shadow);
        let decide = |((charge, state), admits): (&mut (Charge, QuotaState), &bool)| {
            // If one of the rules refuses, the others are not charged.
            if *admits && !admitted {
                RuleDecision::peek(&charge.quota, state, now)
            } else {
                charge.decide(state, now)
            }
        };
        Self {
            admitted,
            now,
            by_rule: rules.iter_mut().zip(&admits).map(decide).collect(),
        }
    }

    /// The remaining quota of each rule; nothing is charged or refused.
    pub(crate) fn peek(now: u64, rules: impl Iterator<Item = (Quota, QuotaState)>) -> Self {
        let peek = |(quota, mut state)| RuleDecision::peek(&quota, &mut state, now);
        Self {
            admitted: true,
            now,
            by_rule: rules.map(peek).collect(),
        }
    }
}
