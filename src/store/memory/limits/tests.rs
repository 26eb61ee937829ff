use std::{thread, time::Duration};

use super::*;
use crate::{
    quota::{Quota, QuotaState, tests::ALGORITHMS},
    store::contracts::limits::suite::rule,
};

fn admits(limits: &MemoryLimits, subject: &str, rule: Rule<'_>, now: u64) -> bool {
    limits.acquire(subject.as_bytes(), &[rule], now).admitted
}

#[test]
fn a_flood_of_subjects_is_bounded_and_frees_no_limited_subject() {
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
        assert!(admits(&limits, "another", rule, 10), "{algorithm:?}");
        let (exact, sets) = limits.size();
        let shards = limits.shards.len();
        assert!(exact <= 4_096 && sets <= shards, "{exact} {sets}");
    }
}

#[test]
fn a_limited_subject_is_kept_for_a_window() {
    let limits = MemoryLimits::new(64);
    let rule = rule("api", Quota::per_hour(5), 1);
    while admits(&limits, "victim", rule, 10) {}
    let later = 9 + rule.charge.quota.window_micros();
    for n in 0..10_000_u32 {
        limits.acquire_one(&n.to_be_bytes(), &rule, later);
    }
    assert!(!admits(&limits, "victim", rule, later));
}

#[test]
fn a_subject_limited_by_a_new_quota_is_kept_for_its_window() {
    let limits = MemoryLimits::new(64);
    let (short, long) = (Quota::per_second(5), Quota::per_hour(5));
    assert!(
        limits
            .acquire_one(b"victim", &rule("api", short, 1), 10)
            .charged
    );
    // The quota is changed.
    let rule = rule("api", long, 1);
    while limits.acquire_one(b"victim", &rule, 11).charged {}
    let later = 10_000_000;
    for n in 0..10_000_u32 {
        limits.acquire_one(&n.to_be_bytes(), &rule, later);
    }
    assert!(!limits.acquire_one(b"victim", &rule, later).charged);
}

#[test]
fn a_subject_refused_at_once_takes_no_counter() {
    let limits = MemoryLimits::new(64);
    let rule = rule("none", Quota::per_hour(0), 1);
    for n in 0..100_u32 {
        assert!(!limits.acquire_one(&n.to_be_bytes(), &rule, 10).charged);
    }
    assert_eq!(limits.size(), (0, 0));
}

#[test]
fn acquire_one_decides_as_acquire() {
    let (one, many) = (MemoryLimits::new(64), MemoryLimits::new(64));
    let rng = &mut fastrand::Rng::with_seed(3);
    let mut now = 1_000;
    for _ in 0..5_000 {
        now += rng.u64(0..300_000);
        let quota = Quota::per_second(4).counted_by(ALGORITHMS[rng.usize(..3)]);
        let mut rule = rule("api", quota, rng.u64(1..4));
        rule.charge.shadow = rng.bool();
        let subject = [rng.u8(..5)];
        let ruling = one.acquire_one(&subject, &rule, now);
        let verdict = many.acquire(&subject, &[rule], now);
        assert_eq!(ruling, verdict.by_rule[0]);
    }
}

#[test]
fn new_subjects_are_refused_if_no_counter_is_left() {
    let limits = MemoryLimits::new(128);
    let rule = rule("login", Quota::per_hour(1), 1);
    let admitted = (0..100_000_u32)
        .filter(|n| limits.acquire(&n.to_be_bytes(), &[rule], 10).admitted)
        .count();
    // Half of the exact counters, and all approximate ones.
    assert!((1_280..=64 + 1_280).contains(&admitted), "{admitted}");
    let later = 10 + 2 * rule.charge.quota.window_micros();
    assert!(admits(&limits, "later", rule, later));
}

#[test]
fn the_number_of_quotas_with_approximate_counters_is_bounded() {
    let limits = MemoryLimits::new(1);
    let hour = Duration::from_secs(3600);
    let quotas: Vec<Quota> = (1..400)
        .map(|n| Quota::new(1, hour + Duration::from_micros(n)).expect("in range"))
        .collect();
    let admitted = quotas.iter().enumerate();
    let admitted = admitted
        .filter(|(n, quota)| admits(&limits, &format!("u{n}"), rule("l", **quota, 1), 1))
        .count();
    assert_eq!(admitted, 1 + 256);
    // Other limits with one of the quotas use its counters.
    assert!(admits(&limits, "u", rule("m", quotas[1], 1), 1));
    assert!(!admits(&limits, "u", rule("m", quotas[1], 1), 1));
    assert_eq!(limits.size(), (1, 256));
}

/// How many of these new subjects, which use half of their quota of 4, are refused.
fn refused_newcomers(limits: &MemoryLimits, name: &str, quota: Quota, now: u64) -> usize {
    let newcomers = (0..20_000_u32).map(|n| [b"new".as_slice(), &n.to_be_bytes()].concat());
    let uses = newcomers.flat_map(|subject| [subject.clone(), subject]);
    let rule = rule(name, quota, 1);
    uses.filter(|subject| !limits.acquire(subject, &[rule], now).admitted)
        .count()
}

/// Regression: a flood of one limit's subjects took all counters, and newcomers of every limit were
/// refused.
#[test]
fn a_million_limited_subjects_stay_refused_and_newcomers_are_admitted() {
    for (algorithm, subjects) in ALGORITHMS.into_iter().zip([1_000_000_u32, 60_000, 60_000]) {
        let limits = MemoryLimits::new(DEFAULT_CAPACITY);
        let quota = Quota::per_hour(4).counted_by(algorithm);
        let (whole, one) = (rule("login", quota, 4), rule("login", quota, 1));
        let acquire = |n: u32, rule| limits.acquire(&n.to_be_bytes(), &[rule], 10).admitted;
        let admitted = (0..subjects).filter(|n| acquire(*n, whole)).count();
        assert!(admitted * 1000 >= subjects as usize * 999, "{admitted}");

        let freed = (0..subjects).step_by(11).filter(|n| acquire(*n, one));
        assert_eq!(freed.count(), 0, "{algorithm:?} freed limited subjects");
        let refused = refused_newcomers(&limits, "login", quota, 10);
        assert!(
            refused <= 400,
            "{algorithm:?}: {refused} of 40,000 are refused"
        );
        assert_eq!(refused_newcomers(&limits, "api", quota, 10), 0);
        let freed = (0..subjects).step_by(97).filter(|n| acquire(*n, one));
        assert_eq!(
            freed.count(),
            0,
            "{algorithm:?}: newcomers freed limited subjects"
        );
    }
}

#[test]
fn floods_of_several_limits_do_not_refuse_newcomers_of_any() {
    let limits = MemoryLimits::new(DEFAULT_CAPACITY);
    let quota = Quota::per_hour(4);
    let flooded = ["login", "search", "upload", "export"];
    for name in flooded {
        for n in 0..60_000_u32 {
            limits.acquire(&n.to_be_bytes(), &[rule(name, quota, 4)], 10);
        }
    }
    for name in flooded.into_iter().chain(["api"]) {
        let refused = refused_newcomers(&limits, name, quota, 10);
        assert!(refused <= 400, "{name}: {refused} of 40,000 are refused");
    }
    for name in flooded {
        let one = rule(name, quota, 1);
        let freed =
            (0..60_000_u32).filter(|n| limits.acquire_one(&n.to_be_bytes(), &one, 10).charged);
        assert_eq!(freed.count(), 0, "{name}");
    }
}

/// Regression: from the seventeenth flooded limit on all newcomers were refused.
#[test]
fn floods_of_many_limits_do_not_refuse_newcomers_of_any() {
    let limits = MemoryLimits::new(1 << 12);
    let names: Vec<String> = (0..40).map(|n| format!("limit-{n}")).collect();
    let window = |n: usize| Duration::from_secs(3_600 + n as u64);
    let quota = |n: usize| Quota::new(4, window(n)).expect("in range");
    for (n, name) in names.iter().enumerate() {
        for subject in 0..3_000_u32 {
            limits.acquire(&subject.to_be_bytes(), &[rule(name, quota(n), 4)], 10);
        }
    }
    for (n, name) in names.iter().enumerate() {
        let one = rule(name, quota(n), 1);
        let admitted = (0..200_u32).filter(|subject| {
            let subject = [b"new".as_slice(), &subject.to_be_bytes()].concat();
            limits.acquire(&subject, &[one], 10).admitted
        });
        assert!(admitted.count() >= 198, "{name}");
        let freed =
            (0..3_000_u32).filter(|n| limits.acquire_one(&n.to_be_bytes(), &one, 10).charged);
        assert_eq!(freed.count(), 0, "{name}");
    }
}

/// Regression: counters that were little used were replaced before there was no more memory for others,
/// so that their subjects had no limit.
#[test]
fn subjects_keep_their_counters_while_there_is_memory_for_more() {
    let limits = MemoryLimits::new(1 << 12);
    let rule = rule("api", Quota::per_hour(10), 1);
    let admitted = || {
        let subjects = (0..20_000_u32).map(u32::to_be_bytes);
        let admitted = subjects.filter(|n| limits.acquire_one(n, &rule, 10).charged);
        admitted.count()
    };
    for _ in 0..10 {
        admitted();
    }
    assert_eq!(admitted(), 0);
}

/// Limits whose exact counters are all in use by limited subjects.
fn flooded(quota: Quota) -> MemoryLimits {
    let limits = MemoryLimits::new(64);
    for n in 0..100_u32 {
        limits.acquire(&n.to_be_bytes(), &[rule("api", quota, 4)], 10);
    }
    assert!(limits.size().1 > 0, "no approximate counters");
    limits
}

#[test]
fn a_refused_request_is_charged_under_no_approximate_counter() {
    let quota = Quota::per_hour(4);
    let limits = flooded(quota);
    let both = [rule("api", quota, 1), rule("login", quota, 3)];
    let admitted = (0..5).filter(|_| limits.acquire(b"u", &both, 10).admitted);
    assert_eq!(admitted.count(), 1);
    let verdict = limits.peek(b"u", &both, 10);
    let remaining = verdict.by_rule.iter().map(|rule| rule.outcome.remaining);
    assert_eq!(remaining.collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn approximate_counters_are_reset_and_given_back() {
    let quota = Quota::per_hour(4);
    let limits = flooded(quota);
    let whole = rule("api", quota, 4);
    assert!(admits(&limits, "u", whole, 10));
    assert!(!admits(&limits, "u", rule("api", quota, 1), 10));
    limits.reset(b"u", &[whole]);
    assert!(admits(&limits, "u", whole, 10));
    let window = quota.window_micros();
    assert!(!admits(&limits, "u", rule("api", quota, 1), 9 + window));
    assert!(admits(&limits, "u", whole, 10 + 2 * window));
    assert_eq!(limits.size().1, 0);
}

#[test]
fn expired_counters_make_room() {
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
fn concurrent_threads_never_exceed_the_limit() {
    for algorithm in ALGORITHMS {
        let limits = MemoryLimits::new(1_000);
        let rule = rule("api", Quota::per_hour(5_000).counted_by(algorithm), 1);
        let acquire = || (0..3_000).filter(|_| admits(&limits, "u", rule, 9)).count();
        let admitted: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(acquire)).collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("no panic"))
                .sum()
        });
        assert_eq!(admitted, 5_000, "{algorithm:?}");
    }
}

#[test]
fn a_spent_state_refuses() {
    let quota = Quota::per_minute(10);
    let mut spent = QuotaState::spent(&quota, 3);
    assert!(!spent.decide(&quota, 3, Some(1)).admitted);
}

#[test]
fn a_subject_s_admissions_are_removed_when_they_have_left_the_window() {
    let limits = MemoryLimits::new(64);
    for limit in [128, 10_000] {
        let rule = rule("api", Quota::per_minute(limit), 1);
        let subject = limit.to_be_bytes();
        let mut now = 1_000_000_000;
        // Five windows, nearly at the limit's rate.
        for _ in 0..5 * limit {
            now += 60_000_000 * 65 / 64 / u64::from(limit) + 1;
            assert!(limits.acquire_one(&subject, &rule, now).charged);
        }
        let hash = limits.hash(&subject);
        let shard = limits.shard(&hash);
        let state = shard.state(&subject, &rule, mix(&hash, &rule.limit), now);
        let state = format!("{state:?}");
        let kept = state.matches("time:").count();
        assert!(kept <= 150, "{limit}: {kept}");
    }
}
