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
    /// The state after the decision.
    pub(crate) state: QuotaState,
    /// Whether the cost was taken from the quota.
    pub(crate) charged: bool,
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
    pub(crate) fn decide(&self, state: Option<QuotaState>, now: u64) -> RuleDecision {
        RuleDecision::new(&self.quota, state, now, Some(self.cost))
    }
}

impl RuleDecision {
    #[inline]
    fn new(quota: &Quota, state: Option<QuotaState>, now: u64, cost: Option<u64>) -> Self {
        let (state, outcome) = QuotaState::decide(state, quota, now, cost);
        Self {
            outcome,
            state,
            charged: cost.is_some() && outcome.admitted,
        }
    }
}

impl CombinedDecision {
    /// Decides for rules in their current states; `None` is a fresh state.
    pub(crate) fn decide(
        now: u64,
        rules: impl Iterator<Item = (Charge, Option<QuotaState>)> + Clone,
    ) -> Self {
        let mut admitted = true;
        let decide = |(charge, state): (Charge, Option<QuotaState>)| {
            let decision = charge.decide(state, now);
            admitted &= decision.charged || charge.shadow;
            decision
        };
        let mut by_rule: SmallVec<[_; 2]> = rules.clone().map(decide).collect();
        if !admitted {
            // One of the rules has refused: the others are not charged.
            for (decision, (charge, state)) in by_rule.iter_mut().zip(rules) {
                if decision.charged {
                    *decision = RuleDecision::new(&charge.quota, state, now, None);
                }
            }
        }
        Self {
            admitted,
            now,
            by_rule,
        }
    }

    /// The remaining quota of each rule; nothing is charged or refused.
    pub(crate) fn peek(now: u64, rules: impl Iterator<Item = (Quota, Option<QuotaState>)>) -> Self {
        let by_rule = rules
            .map(|(quota, state)| RuleDecision::new(&quota, state, now, None))
            .collect();
        Self {
            admitted: true,
            now,
            by_rule,
        }
    }
}
