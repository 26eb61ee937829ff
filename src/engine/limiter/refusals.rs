//! Who was refused by the store and need not ask again before it would help.

use quick_cache::sync::Cache;
use smallvec::SmallVec;

use crate::{
    quota::{Quota, Ruling, State, Verdict},
    store::contracts::limits::{Counter, Rule},
};

/// The rulings of the rules that are known to refuse, the others missing.
pub(crate) type Known = SmallVec<[Option<Ruling>; 2]>;

/// Refusals of the store, by counter; bounded, since whoever is forgotten asks the store again.
pub(super) struct Refusals(Cache<Box<[u8]>, Refused>);

/// A counter as it was when it refused; until it would admit again nothing can change it but a
/// refund or a reset at another process.
#[derive(Clone, Copy, Debug)]
struct Refused {
    quota: Quota,
    cost: u64,
    state: State,
    /// When it refused, by the store's clock and by this process's; in microseconds.
    at: (u64, u64),
    /// By this process's clock.
    until: u64,
}

/// Refusals remembered at most.
const CAPACITY: u64 = 65_536;

/// After which the store is asked again in any case, so that a reset or refund is noticed.
const LONGEST: u64 = 10_000_000;

type Key = SmallVec<[u8; 128]>;

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(
            1024,
            CAPACITY,
            quick_cache::UnitWeighter,
        ))
    }

    pub(super) fn look_up(&self, subject: &[u8], rules: &[Rule<'_>], now: u64) -> Option<Known> {
        if self.0.is_empty() {
            return None;
        }
        let known: Known = rules
            .iter()
            .map(|rule| {
                let key = key(subject, &rule.limit);
                self.0.get(key.as_slice())?.again(rule, now)
            })
            .collect();
        known.iter().any(Option::is_some).then_some(known)
    }

    pub(super) fn remember(&self, subject: &[u8], rules: &[Rule<'_>], verdict: &Verdict, now: u64) {
        for (rule, ruling) in rules.iter().zip(&verdict.rulings) {
            if ruling.outcome.admitted || rule.charge.shadow {
                continue;
            }
            let after = ruling.outcome.retry_after.unwrap_or(LONGEST).min(LONGEST);
            let refused = Refused {
                quota: rule.charge.quota,
                cost: rule.charge.cost,
                state: ruling.state,
                at: (verdict.now, now),
                until: now.saturating_add(after),
            };
            let key = key(subject, &rule.limit);
            self.0.insert(key.into_vec().into(), refused);
        }
    }

    pub(super) fn forget(&self, subject: &[u8], rules: &[Rule<'_>]) {
        for rule in rules {
            self.0.remove(key(subject, &rule.limit).as_slice());
        }
    }
}

impl Refused {
    /// The refusal as it would be now, if it still holds for this rule.
    fn again(&self, rule: &Rule<'_>, now: u64) -> Option<Ruling> {
        let charge = &rule.charge;
        let holds = now < self.until
            && charge.quota == self.quota
            && charge.cost >= self.cost
            && !charge.shadow;
        if !holds {
            return None;
        }
        let then = self.at.0.saturating_add(now.saturating_sub(self.at.1));
        let (state, outcome) = charge.quota.acquire(Some(self.state), then, charge.cost);
        (!outcome.admitted).then_some(Ruling {
            outcome,
            state,
            charged: false,
        })
    }
}

fn key(subject: &[u8], limit: &Counter<'_>) -> Key {
    let mut key = Key::new();
    for part in [limit.name.as_bytes(), b"\0", subject, b"\0", limit.rest] {
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Charge;

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

    fn refused(rules: &[Rule<'_>], store_now: u64) -> Verdict {
        let spent = |r: &Rule<'_>| (r.charge, Some(State::spent(&r.charge.quota, store_now)));
        Verdict::decide(store_now, rules.iter().map(spent))
    }

    #[test]
    fn holds_until_it_would_be_admitted_and_counts_down() {
        let refusals = Refusals::new();
        let rules = [rule("api", Quota::per_second(1), 1)];
        refusals.remember(b"u", &rules, &refused(&rules, 1_760_000_000_000_000), 500);
        let after = |now| {
            let known = refusals.look_up(b"u", &rules, now)?;
            known[0].map(|ruling| ruling.outcome.retry_after)
        };
        let first = after(500).flatten().expect("refused");
        assert!(first > 1_000_000, "{first}");
        assert_eq!(after(501).flatten(), Some(first - 1));
        assert_eq!(after(500 + first), None);
        assert!(refusals.look_up(b"v", &rules, 501).is_none());
    }

    #[test]
    fn a_smaller_cost_a_new_quota_or_a_reset_asks_again() {
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
    fn however_long_the_wait_the_store_is_asked_again_after_ten_seconds() {
        let refusals = Refusals::new();
        let rules = [rule("api", Quota::per_day(1), 1)];
        refusals.remember(b"u", &rules, &refused(&rules, 9_000_000_000), 1);
        assert!(refusals.look_up(b"u", &rules, 10_000_000).is_some());
        assert!(refusals.look_up(b"u", &rules, 10_000_001).is_none());
    }

    #[test]
    fn a_million_refused_subjects_fill_no_memory() {
        let refusals = Refusals::new();
        let rules = [rule("api", Quota::per_day(1), 1)];
        let verdict = refused(&rules, 9_000_000_000);
        for n in 0..1_000_000_u32 {
            refusals.remember(&n.to_be_bytes(), &rules, &verdict, 1);
        }
        assert!(refusals.0.len() <= 65_536);
    }

    #[test]
    fn what_admits_or_only_watches_is_not_remembered() {
        let refusals = Refusals::new();
        let mut rules = [
            rule("free", Quota::per_day(9), 1),
            rule("shadow", Quota::per_day(0), 1),
            rule("spent", Quota::per_day(0), 1),
        ];
        rules[1].charge.shadow = true;
        let fresh = rules.iter().map(|r| (r.charge, None));
        refusals.remember(b"u", &rules, &Verdict::decide(7, fresh), 1);
        let known = refusals.look_up(b"u", &rules, 2).expect("one refuses");
        let known: Vec<bool> = known.iter().map(Option::is_some).collect();
        assert_eq!(known, [false, false, true]);
    }
}
