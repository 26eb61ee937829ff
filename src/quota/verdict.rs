//! All rules of one subject at once: all of them admit, or nothing is charged.

use smallvec::SmallVec;

use super::{Outcome, Quota, State};

/// One quota, what the request costs under it, and whether its refusal counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(crate) quota: Quota,
    pub(crate) cost: u64,
    /// Decides and reports, never refuses; charged when it would admit.
    pub(crate) shadow: bool,
}

/// What the rules of one subject decided together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// No rule refused, shadows aside.
    pub(crate) admitted: bool,
    /// When it was decided, in microseconds of the store's clock.
    pub(crate) now: u64,
    /// One per rule, in their order.
    pub(crate) rulings: SmallVec<[Ruling; 2]>,
}

/// What one rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ruling {
    pub(crate) outcome: Outcome,
    /// As it is after the decision.
    pub(crate) state: State,
    /// The cost was taken from the quota.
    pub(crate) charged: bool,
}

impl Charge {
    /// What the rule decides if there is no other.
    #[inline]
    pub(crate) fn decide(&self, state: Option<State>, now: u64) -> Ruling {
        State::acquire(state, &self.quota, now, self.cost)
    }
}

impl Ruling {
    /// What is admitted is charged, as long as no other rule refuses.
    pub(super) fn new(state: State, outcome: Outcome) -> Self {
        Self {
            outcome,
            state,
            charged: outcome.admitted,
        }
    }

    fn peek(quota: &Quota, state: Option<State>, now: u64) -> Self {
        let (state, outcome) = State::peek(state, quota, now);
        Self {
            outcome,
            state,
            charged: false,
        }
    }
}

impl Verdict {
    /// Decides for rules with the states they have; missing states are fresh.
    pub(crate) fn decide(
        now: u64,
        rules: impl Iterator<Item = (Charge, Option<State>)> + Clone,
    ) -> Self {
        let mut admitted = true;
        let rulings = rules
            .clone()
            .map(|(charge, state)| {
                let ruling = charge.decide(state, now);
                admitted &= ruling.charged || charge.shadow;
                ruling
            })
            .collect();
        let verdict = Self {
            admitted,
            now,
            rulings,
        };
        if admitted {
            verdict
        } else {
            verdict.uncharged(rules)
        }
    }

    /// What every rule would say, with nothing charged.
    fn uncharged(mut self, rules: impl Iterator<Item = (Charge, Option<State>)>) -> Self {
        for (ruling, (charge, state)) in self.rulings.iter_mut().zip(rules) {
            if ruling.charged {
                *ruling = Ruling::peek(&charge.quota, state, self.now);
            }
        }
        self
    }

    /// What every rule has left, nothing charged and nothing refused.
    pub(crate) fn peek(now: u64, rules: impl Iterator<Item = (Quota, Option<State>)>) -> Self {
        let rulings = rules
            .map(|(quota, state)| Ruling::peek(&quota, state, now))
            .collect();
        Self {
            admitted: true,
            now,
            rulings,
        }
    }
}
