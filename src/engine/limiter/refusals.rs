use quick_cache::{UnitWeighter, sync::Cache};
use smallvec::SmallVec;

use crate::{
    quota::{CombinedDecision, Quota, RuleDecision},
    store::contracts::limits::{Counter, Rule},
};

/// Recent refusals of the shared store, by counter: until the refusal expires, requests on the counter
/// are refused without asking the store.
///
/// At most 65,536 are kept. Without a known refusal, the store is asked.
pub(super) struct Refusals(Cache<Box<[u8]>, KnownRefusal>);

/// The decisions of the rules that are known to refuse; `None` for the other rules.
pub(crate) type KnownRefusals = SmallVec<[Option<RuleDecision>; 2]>;

/// A refusal. Before `until`, the counter can admit only after a refund or a reset by another process.
#[derive(Clone, Copy, Debug)]
struct KnownRefusal {
    quota: Quota,
    cost: u64,
    decision: RuleDecision,
    /// The time of the refusal, in microseconds of this process's clock.
    learned_at: u64,
    /// When the refusal expires, by this process's clock.
    until: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(1024, CAPACITY, UnitWeighter))
    }

    /// The refusals that still hold for these rules; `None` if there are none.
    pub(super) fn look_up(
        &self,
        subject: &[u8],
        rules: &[Rule<'_>],
        now: u64,
    ) -> Option<KnownRefusals> {
        if self.0.is_empty() {
            return None;
        }
        let known: KnownRefusals = rules
            .iter()
            .map(|rule| {
                let key = key(subject, &rule.limit);
                self.0.get(key.as_slice())?.decide(rule, now)
            })
            .collect();
        known.iter().any(Option::is_some).then_some(known)
    }

    pub(super) fn remember(
        &self,
        subject: &[u8],
        rules: &[Rule<'_>],
        decision: &CombinedDecision,
        now: u64,
    ) {
        for (rule, decided) in rules.iter().zip(&decision.by_rule) {
            if decided.outcome.admitted || rule.charge.shadow {
                continue;
            }
            let after = decided.outcome.retry_after.unwrap_or(LONGEST).min(LONGEST);
            let refusal = KnownRefusal {
                quota: rule.charge.quota,
                cost: rule.charge.cost,
                decision: *decided,
                learned_at: now,
                until: now.saturating_add(after),
            };
            let key = key(subject, &rule.limit);
            self.0.insert(key.into_vec().into(), refusal);
        }
    }

    pub(super) fn forget(&self, subject: &[u8], rules: &[Rule<'_>]) {
        for rule in rules {
            self.0.remove(key(subject, &rule.limit).as_slice());
        }
    }
}

impl KnownRefusal {
    /// The decision at `now`, if the refusal still holds for this rule. What is left, and how long a
    /// larger cost must wait, is at least this.
    fn decide(&self, rule: &Rule<'_>, now: u64) -> Option<RuleDecision> {
        let charge = &rule.charge;
        let holds = now < self.until
            && charge.quota == self.quota
            && charge.cost >= self.cost
            && !charge.shadow;
        if !holds {
            return None;
        }
        let elapsed = now.saturating_sub(self.learned_at);
        let left = |after: u64| after.checked_sub(elapsed).filter(|left| *left > 0);
        let mut decision = self.decision;
        let outcome = &mut decision.outcome;
        let fits = charge.cost <= charge.quota.capacity();
        outcome.retry_after = outcome.retry_after.filter(|_| fits).and_then(left);
        outcome.more_after = outcome.more_after.and_then(left).or(outcome.retry_after);
        Some(decision)
    }
}

fn key(subject: &[u8], limit: &Counter<'_>) -> SmallVec<[u8; 128]> {
    let mut key = SmallVec::new();
    for part in [limit.name.as_bytes(), b"\0", subject, b"\0", limit.rest] {
        key.extend_from_slice(part);
    }
    key
}

const CAPACITY: u64 = 65_536;

/// The longest time for which a refusal is remembered, in microseconds, so that a refund or a reset by
/// another process takes effect.
const LONGEST: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::{Charge, QuotaState};

    fn rule(name: &str, quota: Quota, cost: u64) -> Rule<'_> {
        Rule {
            limit: Counter { name, rest: b"" },
            charge: Charge {
                quota,
                cost,
                shadow: false,
            },
        }
    }

    fn refused(rules: &[Rule<'_>], store_now: u64) -> CombinedDecision {
        let spent = |r: &Rule<'_>| {
            let quota = &r.charge.quota;
            (r.charge, QuotaState::spent(quota, store_now))
        };
        let mut rules: Vec<_> = rules.iter().map(spent).collect();
        CombinedDecision::decide(store_now, &mut rules)
    }

    #[test]
    fn a_refusal_counts_down_until_the_request_would_be_admitted() {
        let refusals = Refusals::new();
        let rules = [rule("api", Quota::per_second(1), 1)];
        refusals.remember(b"u", &rules, &refused(&rules, 1_760_000_000_000_000), 500);
        let after = |now| {
            let known = refusals.look_up(b"u", &rules, now)?;
            known[0].map(|decision| decision.outcome.retry_after)
        };
        let first = after(500).flatten().expect("refused");
        assert_eq!(first, 1_000_000);
        assert_eq!(after(501).flatten(), Some(first - 1));
        assert_eq!(after(500 + first), None);
        assert!(refusals.look_up(b"v", &rules, 501).is_none());
    }

    #[test]
    fn a_smaller_cost_a_new_quota_or_a_reset_ends_a_refusal() {
        let refusals = Refusals::new();
        let quota = Quota::per_day(1);
        let five = [rule("api", quota, 5)];
        refusals.remember(b"u", &five, &refused(&five, 9_000_000_000), 1);
        assert!(refusals.look_up(b"u", &five, 2).is_some());
        assert!(
            refusals
                .look_up(b"u", &[rule("api", quota, 4)], 2)
                .is_none()
        );
        assert!(
            refusals
                .look_up(b"u", &[rule("api", Quota::per_day(2), 5)], 2)
                .is_none()
        );
        assert!(refusals.look_up(b"u", &five, 1 + LONGEST).is_none());
        refusals.forget(b"u", &five);
        assert!(refusals.look_up(b"u", &five, 2).is_none());
    }

    #[test]
    fn the_store_is_asked_again_after_ten_seconds() {
        let refusals = Refusals::new();
        let rules = [rule("api", Quota::per_day(1), 1)];
        refusals.remember(b"u", &rules, &refused(&rules, 9_000_000_000), 1);
        assert!(refusals.look_up(b"u", &rules, 10_000_000).is_some());
        assert!(refusals.look_up(b"u", &rules, 10_000_001).is_none());
    }

    #[test]
    fn refusals_of_a_million_subjects_stay_bounded() {
        let refusals = Refusals::new();
        let rules = [rule("api", Quota::per_day(1), 1)];
        let decision = refused(&rules, 9_000_000_000);
        for n in 0..1_000_000_u32 {
            refusals.remember(&n.to_be_bytes(), &rules, &decision, 1);
        }
        assert!(refusals.0.len() <= 65_536);
    }

    #[test]
    fn admissions_and_refusals_of_shadow_limits_are_not_remembered() {
        let refusals = Refusals::new();
        let mut rules = [
            rule("free", Quota::per_day(9), 1),
            rule("shadow", Quota::per_day(0), 1),
            rule("spent", Quota::per_day(0), 1),
        ];
        rules[1].charge.shadow = true;
        let mut fresh = rules.map(|r| (r.charge, QuotaState::fresh(&r.charge.quota, 7)));
        let decision = CombinedDecision::decide(7, &mut fresh);
        refusals.remember(b"u", &rules, &decision, 1);
        let known = refusals.look_up(b"u", &rules, 2).expect("one refuses");
        let known: Vec<bool> = known.iter().map(Option::is_some).collect();
        assert_eq!(known, [false, false, true]);
    }
}
