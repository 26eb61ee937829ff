//! The behaviour suite of the contract for limits, run on every store.

use std::{sync::Arc, time::Duration};

use futures_util::{
    future::BoxFuture,
    stream::{self, StreamExt},
};

use super::{Counter, Limits, Refund, Rule};
use crate::quota::{
    Algorithm, Charge, CombinedDecision, MAX_LIMIT, MAX_WINDOW, Quota, QuotaState, RuleDecision,
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
    ("random sequences are decided as defined", |new| {
        Box::pin(follows_the_model(new))
    }),
    ("the largest limits and windows are exact", |new| {
        Box::pin(largest(new))
    }),
    (
        "no interval as long as the window has more than the limit",
        |new| Box::pin(clock_steps_back(new)),
    ),
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
    ("a refund removes the admission that it refunds", |new| {
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
        anchor: ruling.anchor,
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
    // Only the use of a sliding window is defined without those charges that are refunded: with the
    // others, only the functions are followed after a refund.
    let (mut now, mut model) = (START, Some(Model::default()));
    let mut state = QuotaState::fresh(&quota, now);
    let steps = if seed.is_multiple_of(100) { 400 } else { 12 };
    for step in 0..steps {
        now += random_step(rng, &quota);
        let cost = random_cost(rng, &quota);
        let rule = rule("api", quota, cost);
        let verdict = acquire(&*limits(now), &subject, &[rule]).await;
        let context =
            format!("{quota:?} seed {seed} step {step} cost {cost} now {now}: {verdict:?}");
        let ruling = verdict.by_rule[0];
        assert_eq!(ruling, rule.charge.decide(&mut state, now), "{context}");
        assert_eq!(ruling.charged, verdict.admitted, "{context}");
        if let Some(model) = &mut model {
            if verdict.admitted {
                assert!(model.may_admit(&quota, now, cost), "{context}");
                model.admit(now, cost);
            } else {
                assert!(!model.must_admit(&quota, now, cost), "{context}");
            }
            let (least, most) = model.remaining(&quota, now);
            let remaining = ruling.outcome.remaining;
            assert!((least..=most).contains(&remaining), "{context}");
        }
        if !ruling.charged {
            continue;
        }
        if rng.u8(..6) == 0 {
            let charged_at = now;
            now += random_step(rng, &quota) / 2;
            let refund = refund(&rule, &ruling);
            give_back(&*limits(now), &subject, refund).await;
            state.refund(&quota, now, refund.anchor, cost);
            if algorithm == Algorithm::SlidingWindow {
                let model = model.as_mut().expect("followed to the end");
                model.refund(charged_at, cost);
            } else {
                model = None;
            }
        }
    }
}

async fn largest(new: NewStore<'_>) {
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
        let free = MAX_LIMIT - used;
        let now = START + MAX_WINDOW - left;
        assert!(!admits(now, free + 1).await, "{used} {left}");
        assert!(admits(now, free).await, "{used} {left}");
        assert!(!admits(START + MAX_WINDOW - 1, used).await, "{used} {left}");
        if left <= MAX_WINDOW / 64 * 63 {
            assert!(admits(START + MAX_WINDOW, used).await, "{used} {left}");
        }
    }
}

async fn clock_steps_back(new: NewStore<'_>) {
    let sequence = |seed| clock_steps_back_from(new(), seed);
    stream::iter(0..1_000)
        .for_each_concurrent(256, sequence)
        .await;
}

/// The clock steps back several times; time itself does not.
async fn clock_steps_back_from(limits: LimitsAt, seed: u64) {
    let rng = &mut fastrand::Rng::with_seed(seed);
    let quota = random_quota(rng, Algorithm::SlidingWindow);
    let subject = format!("steps-back-{seed}");
    let window = quota.window_micros();
    let (mut passed, mut behind) = (3 * START, 0);
    let mut model = Model::default();
    for step in 0..30 {
        passed += random_step(rng, &quota);
        if rng.u8(..5) == 0 {
            behind += rng.u64(0..=window * 2);
        }
        let cost = random_cost(rng, &quota);
        let now = passed - behind;
        let ruling = acquire_one(&*limits(now), &subject, rule("api", quota, cost)).await;
        let context = format!("{quota:?} seed {seed} step {step} {ruling:?}");
        if ruling.charged {
            model.admit(passed, cost);
            let used = model.within(window, passed);
            assert!(used <= u128::from(quota.limit()), "{context}");
        }
        let waits = [ruling.outcome.retry_after, ruling.outcome.more_after];
        assert!(
            waits.iter().flatten().all(|wait| *wait <= window),
            "{context}"
        );
    }
    let now = passed - behind + window;
    let whole = rule("api", quota, quota.limit());
    let ruling = acquire_one(&*limits(now), &subject, whole).await;
    assert!(ruling.charged || quota.limit() == 0, "{quota:?} {seed}");
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
    let mut state = QuotaState::fresh(&old, START);
    let all = rule("api", old, 10);
    let charged = acquire_one(&*on, "lowered", all).await;
    assert_eq!(charged, all.charge.decide(&mut state, START));
    let free = rule("api", Quota::per_minute(10).burst(1), 0);
    let expected = free.charge.decide(&mut state, START);
    assert!(expected.charged);
    assert_eq!(acquire_one(&*on, "lowered", free).await, expected);
}

async fn late_refund(new: NewStore<'_>) {
    let limits = new();
    for limit in [10_u32, 200] {
        let quota = Quota::per_minute(limit);
        let subject = format!("late-refund-{limit}");
        let second = |n: u64| limits(START + n * 1_000_000);
        let fifth = rule("api", quota, u64::from(limit) / 5);
        let mut charged = Vec::new();
        for n in 0..5 {
            charged.push(acquire_one(&*second(n), &subject, fifth).await);
        }
        let admits = async |n| acquire_one(&*second(n), &subject, fifth).await.charged;
        assert!(!admits(5).await);
        // Of the third admission, and only once.
        for _ in 0..2 {
            give_back(&*second(6), &subject, refund(&fifth, &charged[2])).await;
        }
        assert!(admits(7).await && !admits(8).await);
        // The first two leave the window one after the other; in the third's place nothing does.
        assert!(!admits(59).await && admits(60).await && !admits(60).await);
        assert!(admits(61).await && !admits(62).await && admits(63).await);
    }
}

async fn refund_of_another_algorithm(new: NewStore<'_>) {
    for (old, new_algorithm) in [
        (Algorithm::Gcra, Algorithm::SlidingWindow),
        (Algorithm::SlidingWindow, Algorithm::Gcra),
    ] {
        let (on, subject) = (new()(START), format!("other-{old:?}"));
        let old = rule("api", Quota::per_second(10).counted_by(old), 1);
        let new = Quota::per_second(10).counted_by(new_algorithm);
        let anchor = acquire_one(&*on, &subject, old).await.anchor;
        let before = acquire_one(&*on, &subject, rule("api", new, 4)).await;
        for anchor in [anchor, before.anchor, START + 500_000] {
            let refund = Refund {
                limit: old.limit,
                quota: old.charge.quota,
                cost: 1,
                anchor,
            };
            give_back(&*on, &subject, refund).await;
        }
        let refused = acquire_one(&*on, &subject, rule("api", new, 11)).await;
        assert_eq!(refused.outcome.more_after, before.outcome.more_after);
        assert_eq!(refused.outcome.remaining, 6, "{new:?}");
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
