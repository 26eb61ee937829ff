use std::{thread, time::Duration};

use super::*;
use crate::quota::{Algorithm, Charge, Quota, QuotaState};

const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::SlidingWindow,
    Algorithm::FixedWindow,
    Algorithm::Gcra,
];

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

fn admits(limits: &MemoryLimits, subject: &str, rule: Rule<'_>, now: u64) -> bool {
    limits.acquire(subject.as_bytes(), &[rule], now).admitted
}

#[test]
fn a_refused_request_is_charged_under_no_rule() {
    let limits = MemoryLimits::new(100);
    let (wide, narrow) = (
        rule("day", Quota::per_day(1000), 1),
        rule("second", Quota::per_second(2), 1),
    );
    for _ in 0..20 {
        limits.acquire(b"u", &[wide, narrow], 5);
    }
    let left = limits.peek(b"u", &[wide, narrow], 5);
    let left: Vec<u64> = left.by_rule.iter().map(|r| r.outcome.remaining).collect();
    assert_eq!(left, [998, 0]);
}

#[test]
fn a_shadow_decides_and_never_refuses() {
    let limits = MemoryLimits::new(100);
    let mut shadow = rule("new", Quota::per_second(1), 1);
    shadow.charge.shadow = true;
    let old = rule("old", Quota::per_second(3), 1);
    let verdicts: Vec<_> = (0..4)
        .map(|_| limits.acquire(b"u", &[shadow, old], 5))
        .collect();
    let admitted: Vec<bool> = verdicts.iter().map(|v| v.admitted).collect();
    assert_eq!(admitted, [true, true, true, false]);
    let said: Vec<bool> = verdicts
        .iter()
        .map(|v| v.by_rule[0].outcome.admitted)
        .collect();
    assert_eq!(said, [true, false, false, false]);
}

#[test]
fn names_subjects_and_rests_never_run_into_each_other() {
    let limits = MemoryLimits::new(100);
    let quota = Quota::per_second(1);
    let counters = [
        ("a", "bc", ""),
        ("ab", "c", ""),
        ("b", "a", ":c"),
        ("", "abc", ""),
    ];
    for (subject, name, rest) in counters {
        let mut rule = rule(name, quota, 1);
        rule.limit.rest = rest.as_bytes();
        assert!(limits.acquire(subject.as_bytes(), &[rule], 1).admitted);
        assert!(!limits.acquire(subject.as_bytes(), &[rule], 1).admitted);
    }
}

#[test]
fn a_million_subjects_of_an_attacker_fill_no_memory_and_free_nobody() {
    for (algorithm, subjects) in ALGORITHMS.into_iter().zip([1_000_000_u32, 50_000, 50_000]) {
        let limits = MemoryLimits::new(4_096);
        let quota = Quota::per_hour(5).counted_by(algorithm);
        let rule = rule("api", quota, 1);
        let limited: Vec<String> = (0..200).map(|n| format!("victim-{n}")).collect();
        for user in &limited {
            while admits(&limits, user, rule, 10) {}
        }
        for n in 0..subjects {
            limits.acquire(&n.to_be_bytes(), &[rule], 10);
        }
        for user in &limited {
            assert!(
                !admits(&limits, user, rule, 10),
                "{algorithm:?} freed {user}"
            );
        }
        assert!(admits(&limits, "somebody else", rule, 10), "{algorithm:?}");
        let shards = limits.shards.len();
        let held = limits.len();
        assert!(held <= 4_096 + shards, "{held} counters");
    }
}

#[test]
fn who_is_limited_is_not_freed_before_two_windows_have_passed() {
    let limits = MemoryLimits::new(64);
    let rule = rule("api", Quota::per_hour(5), 1);
    while admits(&limits, "victim", rule, 10) {}
    // all of the window before still counts, nearly
    let later = 11 + rule.charge.quota.window_micros();
    for n in 0..10_000_u32 {
        limits.acquire_one(&n.to_be_bytes(), &rule, later);
    }
    assert!(!admits(&limits, "victim", rule, later));
}

#[test]
fn who_is_limited_by_a_new_quota_is_kept_for_as_long_as_that_says() {
    let limits = MemoryLimits::new(64);
    let (short, long) = (Quota::per_second(5), Quota::per_hour(5));
    assert!(
        limits
            .acquire_one(b"victim", &rule("api", short, 1), 10)
            .charged
    );
    // a reload
    let rule = rule("api", long, 1);
    while limits.acquire_one(b"victim", &rule, 11).charged {}
    let later = 10_000_000;
    for n in 0..10_000_u32 {
        limits.acquire_one(&n.to_be_bytes(), &rule, later);
    }
    assert!(!limits.acquire_one(b"victim", &rule, later).charged);
}

#[test]
fn whoever_is_refused_at_once_takes_no_place() {
    let limits = MemoryLimits::new(64);
    let rule = rule("none", Quota::per_hour(0), 1);
    for n in 0..100_u32 {
        assert!(!limits.acquire_one(&n.to_be_bytes(), &rule, 10).charged);
    }
    assert_eq!(limits.len(), 0);
}

#[test]
fn one_rule_alone_decides_as_among_others() {
    let (alone, among) = (MemoryLimits::new(64), MemoryLimits::new(64));
    let rng = &mut fastrand::Rng::with_seed(3);
    let mut now = 1_000;
    for _ in 0..5_000 {
        now += rng.u64(0..300_000);
        let quota = Quota::per_second(4).counted_by(ALGORITHMS[rng.usize(..3)]);
        let mut rule = rule("api", quota, rng.u64(1..4));
        rule.charge.shadow = rng.bool();
        let subject = [rng.u8(..5)];
        let ruling = alone.acquire_one(&subject, &rule, now);
        let verdict = among.acquire(&subject, &[rule], now);
        assert_eq!(ruling, verdict.by_rule[0]);
    }
}

#[test]
fn where_everybody_is_limited_newcomers_share_what_is_left() {
    let limits = MemoryLimits::new(128);
    let rule = rule("login", Quota::per_hour(1), 1);
    let admitted = (0..100_000_u32)
        .filter(|n| limits.acquire(&n.to_be_bytes(), &[rule], 10).admitted)
        .count();
    // every counter once, and every overflow counter once
    assert!(admitted <= 128 + limits.shards.len(), "{admitted}");
    let later = 10 + 2 * rule.charge.quota.window_micros();
    assert!(admits(&limits, "later", rule, later));
}

#[test]
fn more_overflowing_quotas_than_counters_refuse_newcomers() {
    let limits = MemoryLimits::new(1);
    let hour = Duration::from_secs(3600);
    let quotas: Vec<Quota> = (1..200)
        .map(|n| Quota::new(1, hour + Duration::from_micros(n)).expect("in range"))
        .collect();
    let admitted = quotas.iter().enumerate();
    let admitted = admitted
        .filter(|(n, quota)| admits(&limits, &format!("u{n}"), rule("l", **quota, 1), 1))
        .count();
    assert_eq!(admitted, 1 + 64);
}

#[test]
fn what_has_passed_makes_room() {
    let limits = MemoryLimits::new(256);
    let rule = rule("api", Quota::per_second(1), 1);
    for round in 0..50_u64 {
        let now = round * 3_000_000;
        for n in 0..100_u64 {
            let subject = (round * 100 + n).to_be_bytes();
            assert!(
                limits.acquire(&subject, &[rule], now).admitted,
                "round {round}"
            );
        }
    }
}

#[test]
fn reset_and_refund_touch_one_counter() {
    let limits = MemoryLimits::new(64);
    let rule = rule("api", Quota::per_minute(2), 2);
    for n in 0..20 {
        assert!(admits(&limits, &format!("u{n}"), rule, 7));
    }
    limits.reset(b"u3", &[rule]);
    assert!(admits(&limits, "u3", rule, 7));
    assert!(!admits(&limits, "u4", rule, 7));
    let state = limits.acquire(b"u5", &[rule], 7).by_rule[0].state;
    let refund = Refund {
        limit: rule.limit,
        quota: rule.charge.quota,
        cost: 2,
        anchor: state.anchor(),
    };
    limits.refund(b"u5", &[refund], 7);
    limits.refund(b"nobody", &[refund], 7);
    assert!(admits(&limits, "u5", rule, 7));
    assert!(!admits(&limits, "u6", rule, 7));
}

#[test]
fn threads_that_hammer_one_subject_never_exceed_the_limit() {
    for algorithm in ALGORITHMS {
        let limits = MemoryLimits::new(1_000);
        let rule = rule("api", Quota::per_hour(5_000).counted_by(algorithm), 1);
        let hammer = || (0..3_000).filter(|_| admits(&limits, "u", rule, 9)).count();
        let admitted: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(hammer)).collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("no panic"))
                .sum()
        });
        assert_eq!(admitted, 5_000, "{algorithm:?}");
    }
}

#[test]
fn an_evicted_state_is_never_one_that_refuses() {
    let quota = Quota::per_minute(10);
    let spent = QuotaState::spent(&quota, 3);
    assert!(!QuotaState::acquire(Some(spent), &quota, 3, 1).1.admitted);
}
