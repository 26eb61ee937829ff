//! The behaviour suite of the contract for limits, run on every store.

use std::{sync::Arc, time::Duration};

use futures_util::{
    future::BoxFuture,
    stream::{self, StreamExt},
};

use super::{Counter, Limits, Refund, Rule};
use crate::quota::{
    Algorithm, Charge, CombinedDecision, MAX_LIMIT, MAX_WINDOW, Quota, RuleDecision,
    model::Model,
    tests::{ALGORITHMS, random_cost, random_quota, random_step},
};

/// A store at a time in microseconds.
pub(in crate::store) type LimitsAt = Box<dyn Fn(u64) -> Arc<dyn Limits> + Send + Sync>;

/// Makes a store; stores may share their counters.
type NewStore<'a> = &'a (dyn Fn() -> LimitsAt + Sync);

type LimitsBehaviour = for<'a> fn(NewStore<'a>) -> BoxFuture<'a, ()>;

pub(in crate::store) const START: u64 = 1_760_000_000_000_000;

/// Each behaviour uses subjects of its own, so that all can run on one server.
const BEHAVIOURS: &[(&str, LimitsBehaviour)] = &[
    ("random sequences follow the exact model", |new| {
        Box::pin(follows_the_model(new))
    }),
    ("products beyond 2^53 are exact", |new| {
        Box::pin(large_products(new))
    }),
    ("a refused request is charged under no rule", |new| {
        Box::pin(all_or_none(new))
    }),
    ("a shadow decides and never refuses", |new| {
        Box::pin(shadow(new))
    }),
    ("names, subjects and rests are separate", |new| {
        Box::pin(separate_counters(new))
    }),
    (
        "a request of cost 0 is admitted under a lowered limit",
        |new| Box::pin(lowered_limit(new)),
    ),
    ("a refund reaches a charge of the previous window", |new| {
        Box::pin(late_refund(new))
    }),
    ("a refund of another algorithm changes nothing", |new| {
        Box::pin(refund_of_another_algorithm(new))
    }),
    ("a refund of an unknown counter changes nothing", |new| {
        Box::pin(refund_of_unknown_counter(new))
    }),
    ("reset and refund change one counter", |new| {
        Box::pin(one_counter(new))
    }),
    ("a peek charges nothing", |new| Box::pin(peek(new))),
    ("a plain counter adds and never overflows", |new| {
        Box::pin(increment(new))
    }),
];

/// Runs all behaviours.
pub(in crate::store) async fn run(new: NewStore<'_>) {
    for (name, behaviour) in BEHAVIOURS {
        eprintln!("{name}");
        behaviour(new).await;
    }
}

pub(in crate::store) fn rule(name: &str, quota: Quota, cost: u64) -> Rule<'_> {
    Rule {
        limit: Counter { name, rest: b"" },
        charge: Charge {
            quota,
            cost,
            shadow: false,
        },
    }
}

/// The refund of what `ruling` charged under `rule`.
fn refund<'a>(rule: &Rule<'a>, ruling: &RuleDecision) -> Refund<'a> {
    Refund {
        limit: rule.limit,
        quota: rule.charge.quota,
        cost: rule.charge.cost,
        anchor: ruling.state.anchor(),
    }
}

async fn acquire(on: &dyn Limits, subject: &str, rules: &[Rule<'_>]) -> CombinedDecision {
    let verdict = on.acquire(subject.as_bytes(), rules).await;
    verdict.expect("a verdict")
}

async fn acquire_one(on: &dyn Limits, subject: &str, rule: Rule<'_>) -> RuleDecision {
    acquire(on, subject, &[rule]).await.by_rule[0]
}

async fn give_back(on: &dyn Limits, subject: &str, refund: Refund<'_>) {
    let refunded = on.refund(subject.as_bytes(), &[refund]).await;
    refunded.expect("refunded");
}

async fn follows_the_model(new: NewStore<'_>) {
    for algorithm in ALGORITHMS {
        let sequence = |seed| follows_the_model_from(new(), algorithm, seed);
        stream::iter(0..10_000)
            .for_each_concurrent(256, sequence)
            .await;
    }
}

async fn follows_the_model_from(limits: LimitsAt, algorithm: Algorithm, seed: u64) {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let quota = random_quota(rng, algorithm);
    let subject = format!("{algorithm:?}-{seed}");
    // The model knows no refunds: after the first one only the functions are followed.
    let (mut now, mut model) = (START, Some(Model::default()));
    let mut state = None;
    for step in 0..12 {
        now += random_step(rng, &quota);
        let cost = random_cost(rng, &quota);
        let rule = rule("api", quota, cost);
        let verdict = acquire(&*limits(now), &subject, &[rule]).await;
        let context =
            format!("{quota:?} seed {seed} step {step} cost {cost} now {now}: {verdict:?}");
        let expected = CombinedDecision::decide(now, [(rule.charge, state)].into_iter());
        assert_eq!(verdict, expected, "{context}");
        let ruling = verdict.by_rule[0];
        if let Some(model) = &mut model {
            let admitted = model.acquire(&quota, now, cost);
            assert_eq!(verdict.admitted, admitted, "{context}");
            let remaining = model.remaining(&quota, now);
            assert_eq!(ruling.outcome.remaining, remaining, "{context}");
        }
        if !ruling.charged {
            continue;
        }
        state = Some(ruling.state);
        if rng.u8(..6) == 0 {
            now += random_step(rng, &quota) / 2;
            let refund = refund(&rule, &ruling);
            give_back(&*limits(now), &subject, refund).await;
            state = state.map(|state| state.refund(&quota, now, refund.anchor, cost));
            model = None;
        }
    }
}

async fn large_products(new: NewStore<'_>) {
    let quota = Quota::new(MAX_LIMIT, Duration::from_micros(MAX_WINDOW)).expect("in range");
    let rng = &mut fastrand::Rng::with_seed(11);
    for n in 0..100_u32 {
        let limits = new();
        let (used, left) = (rng.u64(MAX_LIMIT / 2..MAX_LIMIT), rng.u64(1..MAX_WINDOW));
        let subject = format!("large-{n}");
        let admits = async |now, cost| {
            let rules = [rule("api", quota, cost)];
            acquire(&*limits(now), &subject, &rules).await.admitted
        };
        assert!(admits(START, used).await);
        // The part of the first window that still counts, rounded up.
        let counts = (u128::from(used) * u128::from(left)).div_ceil(u128::from(MAX_WINDOW));
        let free = MAX_LIMIT - u64::try_from(counts).expect("less than was used");
        let now = START + 2 * MAX_WINDOW - left;
        assert!(!admits(now, free + 1).await, "{used} {left}");
        assert!(admits(now, free).await, "{used} {left}");
    }
}

async fn all_or_none(new: NewStore<'_>) {
    let on = new()(START);
    let rules = [
        rule("day", Quota::per_day(1000), 1),
        rule("second", Quota::per_second(2), 1),
    ];
    for _ in 0..20 {
        acquire(&*on, "all-or-none", &rules).await;
    }
    let left = on.peek(b"all-or-none", &rules).await.expect("a verdict");
    let left: Vec<u64> = left.by_rule.iter().map(|r| r.outcome.remaining).collect();
    assert_eq!(left, [998, 0]);
}

async fn shadow(new: NewStore<'_>) {
    let on = new()(START);
    let mut shadow = rule("new", Quota::per_second(1), 1);
    shadow.charge.shadow = true;
    let rules = [shadow, rule("old", Quota::per_second(3), 1)];
    let (mut admitted, mut shadow_admits) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let verdict = acquire(&*on, "shadow", &rules).await;
        admitted.push(verdict.admitted);
        shadow_admits.push(verdict.by_rule[0].outcome.admitted);
    }
    assert_eq!(admitted, [true, true, true, false]);
    assert_eq!(shadow_admits, [true, false, false, false]);
}

async fn separate_counters(new: NewStore<'_>) {
    let on = new()(START);
    for (subject, name, rest) in [
        ("a", "bc", ""),
        ("ab", "c", ""),
        ("b", "a", ":c"),
        ("", "abc", ""),
    ] {
        let mut rule = rule(name, Quota::per_second(1), 1);
        rule.limit.rest = rest.as_bytes();
        for expected in [true, false] {
            let verdict = acquire(&*on, subject, &[rule]).await;
            assert_eq!(verdict.admitted, expected, "{subject} {name} {rest}");
        }
    }
}

async fn lowered_limit(new: NewStore<'_>) {
    let on = new()(START);
    let old = Quota::per_minute(10).counted_by(Algorithm::Gcra);
    let state = acquire_one(&*on, "lowered", rule("api", old, 10))
        .await
        .state;
    let free = rule("api", Quota::per_minute(10).burst(1), 0);
    let expected = CombinedDecision::decide(START, [(free.charge, Some(state))].into_iter());
    assert!(expected.admitted);
    assert_eq!(acquire(&*on, "lowered", &[free]).await, expected);
}

async fn late_refund(new: NewStore<'_>) {
    let limits = new();
    let (quota, later) = (Quota::per_second(10), limits(START + 1_250_000));
    let early = rule("api", quota, 4);
    let charged = acquire_one(&*limits(START), "late-refund", early).await;
    let other = acquire_one(&*later, "late-refund", rule("api", quota, 2)).await;
    assert_eq!(other.outcome.remaining, 10 - 3 - 2);
    give_back(&*later, "late-refund", refund(&early, &charged)).await;
    let others = acquire_one(&*later, "late-refund", rule("api", quota, 8)).await;
    assert!(others.outcome.admitted);
}

async fn refund_of_another_algorithm(new: NewStore<'_>) {
    for (old, new_algorithm) in [
        (Algorithm::Gcra, Algorithm::SlidingWindow),
        (Algorithm::SlidingWindow, Algorithm::Gcra),
    ] {
        let (on, subject) = (new()(START), format!("other-{old:?}"));
        let old = rule("api", Quota::per_second(10).counted_by(old), 1);
        let new = Quota::per_second(10).counted_by(new_algorithm);
        let anchor = acquire_one(&*on, &subject, old).await.state.anchor();
        let before = acquire_one(&*on, &subject, rule("api", new, 4)).await.state;
        for anchor in [anchor, before.anchor(), START + 500_000] {
            let refund = Refund {
                limit: old.limit,
                quota: old.charge.quota,
                cost: 1,
                anchor,
            };
            give_back(&*on, &subject, refund).await;
        }
        let refused = acquire_one(&*on, &subject, rule("api", new, 11)).await;
        assert_eq!(refused.state, before, "{new:?}");
    }
}

async fn refund_of_unknown_counter(new: NewStore<'_>) {
    let on = new()(START);
    let rule = rule("api", Quota::per_minute(3), 1);
    let charged = acquire_one(&*on, "known", rule).await;
    give_back(&*on, "unknown", refund(&rule, &charged)).await;
    let left = on.peek(b"unknown", &[rule]).await.expect("a verdict");
    assert_eq!(left.by_rule[0].outcome.remaining, 3);
}

async fn one_counter(new: NewStore<'_>) {
    let on = new()(START);
    let rule = rule("api", Quota::per_minute(2), 2);
    let mut charged = Vec::new();
    for n in 0..20 {
        let ruling = acquire_one(&*on, &format!("one-{n}"), rule).await;
        assert!(ruling.charged);
        charged.push(ruling);
    }
    let admits = async |subject| acquire_one(&*on, subject, rule).await.outcome.admitted;
    on.reset(b"one-3", &[rule]).await.expect("reset");
    assert!(admits("one-3").await);
    assert!(!admits("one-4").await);
    give_back(&*on, "one-5", refund(&rule, &charged[5])).await;
    assert!(admits("one-5").await);
    assert!(!admits("one-6").await);
}

async fn peek(new: NewStore<'_>) {
    let on = new()(START);
    for algorithm in ALGORITHMS {
        let subject = format!("peek-{algorithm:?}");
        let rules = [rule("api", Quota::per_hour(5).counted_by(algorithm), 2)];
        acquire(&*on, &subject, &rules).await;
        for _ in 0..3 {
            let left = on
                .peek(subject.as_bytes(), &rules)
                .await
                .expect("a verdict");
            assert_eq!(left.by_rule[0].outcome.remaining, 3, "{algorithm:?}");
        }
    }
}

async fn increment(new: NewStore<'_>) {
    let on = new()(START);
    let add = async |key, amount| on.increment(key, amount, MINUTE).await;
    assert_eq!(add("increment:a", 2).await.expect("added"), 2);
    assert_eq!(add("increment:a", 3).await.expect("added"), 5);
    assert_eq!(add("increment:b", -1).await.expect("added"), -1);
    assert_eq!(
        add("increment:max", i64::MAX).await.expect("added"),
        i64::MAX
    );
    let error = add("increment:max", 1).await.expect_err("an overflow");
    assert!(error.is_refused(), "{error:?}");
    assert_eq!(add("increment:max", 0).await.expect("added"), i64::MAX);
    let sum = async |key| on.counter(key).await.expect("answered");
    assert_eq!(sum("increment:a").await, Some(5));
    assert_eq!(sum("increment:max").await, Some(i64::MAX));
    assert_eq!(sum("increment:c").await, None);
}

const MINUTE: Duration = Duration::from_secs(60);
