use std::time::Duration;

use super::{
    algorithm_state::QuotaOutcome,
    gcra::GcraState,
    model::Model,
    quota::{Algorithm, MAX_LIMIT, MAX_WINDOW, Quota},
    state::QuotaState,
};

pub(crate) const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::SlidingWindow,
    Algorithm::FixedWindow,
    Algorithm::Gcra,
];

/// A quota between the smallest and the largest that are allowed; small ones are the most frequent.
pub(crate) fn random_quota(rng: &mut fastrand::Rng, algorithm: Algorithm) -> Quota {
    let limit = match rng.u8(..8) {
        0 => rng.u64(0..3),
        1..5 => rng.u64(1..40),
        5 => rng.u64(100..300),
        6 => rng.u64(1..5_000_000),
        _ => rng.u64(1..=MAX_LIMIT),
    };
    let window = match rng.u8(..8) {
        0 => rng.u64(1..100),
        1..6 => rng.u64(1_000..100_000_000),
        6 => 86_400_000_000,
        _ => rng.u64(1..=MAX_WINDOW),
    };
    let quota = Quota::new(limit, Duration::from_micros(window)).expect("in range");
    if algorithm == Algorithm::Gcra {
        return quota.burst(match rng.u8(..3) {
            0 => limit,
            1 => rng.u64(1..20),
            _ => rng.u64(1..=limit.saturating_add(10)),
        });
    }
    quota.counted_by(algorithm)
}

/// A step in time: mostly short, sometimes to the end of a window or over several windows.
pub(crate) fn random_step(rng: &mut fastrand::Rng, quota: &Quota) -> u64 {
    let window = quota.window_micros();
    match rng.u8(..10) {
        0..3 => 0,
        3..6 => rng.u64(0..=window / quota.limit().max(1) + 1),
        6..8 => rng.u64(0..=window),
        8 => window - rng.u64(0..window.min(3)),
        _ => rng.u64(0..=3 * window),
    }
}

pub(crate) fn random_cost(rng: &mut fastrand::Rng, quota: &Quota) -> u64 {
    match rng.u8(..10) {
        0..6 => 1,
        6..9 => rng.u64(1..=quota.capacity() / 3 + 1),
        _ => rng.u64(1..=quota.capacity() + 2),
    }
}

/// The state after a decision, and its outcome.
fn acquire(
    quota: &Quota,
    state: Option<&QuotaState>,
    now: u64,
    cost: u64,
) -> (QuotaState, QuotaOutcome) {
    let fresh = || QuotaState::fresh(quota, now);
    let mut state = state.cloned().unwrap_or_else(fresh);
    let outcome = state.decide(quota, now, Some(cost));
    (state, outcome)
}

fn peek(quota: &Quota, state: Option<&QuotaState>, now: u64) -> QuotaOutcome {
    let fresh = || QuotaState::fresh(quota, now);
    state
        .cloned()
        .unwrap_or_else(fresh)
        .decide(quota, now, None)
}

fn refund(state: &QuotaState, quota: &Quota, now: u64, anchor: u64, cost: u64) -> QuotaState {
    let mut state = state.clone();
    state.refund(quota, now, anchor, cost);
    state
}

#[test]
fn random_sequences_decide_as_defined() {
    for algorithm in ALGORITHMS {
        for seed in 0..10_000 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let quota = random_quota(rng, algorithm);
            follow(rng, &quota, seed);
        }
    }
}

fn follow(rng: &mut fastrand::Rng, quota: &Quota, seed: u64) {
    let mut now = 1_760_000_000_000_000 + rng.u64(0..1_000_000_000);
    let mut model = Model::default();
    let mut state: Option<QuotaState> = None;
    let steps = if seed.is_multiple_of(50) { 600 } else { 24 };
    for step in 0..steps {
        now += random_step(rng, quota);
        let cost = random_cost(rng, quota);
        let (next, outcome) = acquire(quota, state.as_ref(), now, cost);
        let context =
            format!("{quota:?} seed {seed} step {step} cost {cost} now {now}: {outcome:?}");
        if outcome.admitted {
            assert!(model.may_admit(quota, now, cost), "{context}");
            model.admit(now, cost);
        } else {
            assert!(!model.must_admit(quota, now, cost), "{context}");
        }
        let (least, most) = model.remaining(quota, now);
        assert!((least..=most).contains(&outcome.remaining), "{context}");
        if outcome.admitted {
            state = Some(next);
        } else {
            let after = outcome.retry_after;
            check_retry(quota, state.as_ref(), now, cost, after, &context);
        }
        check_more(
            quota,
            state.as_ref(),
            now,
            outcome.remaining,
            outcome.more_after,
            &context,
        );
        if let Some(state) = &state {
            let fresh = peek(quota, None, 0).remaining;
            let then = peek(quota, Some(state), state.expires(quota).max(now));
            assert_eq!(
                then.remaining, fresh,
                "the state is not fresh at its expiry: {context}"
            );
        }
        // Only the use of a sliding window is defined without those charges that are refunded.
        if outcome.admitted && quota.algorithm() == Algorithm::SlidingWindow && rng.u8(..5) == 0 {
            let charged = state.as_ref().expect("charged");
            let later = now + random_step(rng, quota) / 3;
            state = Some(refund(charged, quota, later, charged.anchor(now), cost));
            model.refund(now, cost);
        }
    }
}

/// Waiting for `retry_after` is enough, and one microsecond less is not.
fn check_retry(
    quota: &Quota,
    state: Option<&QuotaState>,
    now: u64,
    cost: u64,
    retry_after: Option<u64>,
    context: &str,
) {
    let Some(after) = retry_after else {
        assert!(quota.limit() == 0 || cost > quota.capacity(), "{context}");
        return;
    };
    assert!(after > 0, "{context}");
    let is_within_window = after <= quota.window_micros();
    assert!(
        is_within_window || quota.algorithm() == Algorithm::Gcra,
        "{context}"
    );
    assert!(
        acquire(quota, state, now + after, cost).1.admitted,
        "{context}"
    );
    assert!(
        !acquire(quota, state, now + after - 1, cost).1.admitted,
        "{context}"
    );
}

fn check_more(
    quota: &Quota,
    state: Option<&QuotaState>,
    now: u64,
    remaining: u64,
    more_after: Option<u64>,
    context: &str,
) {
    let Some(after) = more_after else {
        assert!(
            remaining == quota.capacity() || quota.limit() == 0,
            "{context}"
        );
        return;
    };
    let is_within_window = after <= quota.window_micros();
    assert!(
        is_within_window || quota.algorithm() == Algorithm::Gcra,
        "{context}"
    );
    assert!(
        peek(quota, state, now + after).remaining > remaining,
        "{context}"
    );
    assert_eq!(
        peek(quota, state, now + after - 1).remaining,
        remaining,
        "{context}"
    );
}

#[test]
fn a_client_that_hammers_a_sliding_window_gets_at_most_the_limit_in_any_window() {
    let quota = Quota::per_minute(30);
    let admitted = hammered(&quota, 1_000_000_000);
    assert_eq!(most_in_a_window(&quota, &admitted), 30);
}

/// The times at which a subject that asks every 50 milliseconds for five minutes is admitted.
fn hammered(quota: &Quota, from: u64) -> Vec<u64> {
    let (mut state, mut admitted) = (None, Vec::new());
    for tick in 0..6_000 {
        let now = from + tick * 50_000;
        let (next, outcome) = acquire(quota, state.as_ref(), now, 1);
        if outcome.admitted {
            state = Some(next);
            admitted.push(now);
        }
    }
    admitted
}

/// The most admissions in any window that begins with one of them.
fn most_in_a_window(quota: &Quota, admitted: &[u64]) -> usize {
    let within = |from: &u64| {
        let until = from + quota.window_micros();
        admitted
            .iter()
            .filter(|at| (*from..until).contains(at))
            .count()
    };
    admitted.iter().map(within).max().unwrap_or(0)
}

#[test]
fn gcra_admits_nearly_twice_the_limit_in_the_first_window_and_the_limit_afterwards() {
    let quota = Quota::per_minute(30).counted_by(Algorithm::Gcra);
    let admitted = hammered(&quota, 1_000_000_000);
    assert_eq!(most_in_a_window(&quota, &admitted), 30 + 29);
    let after_the_burst = &admitted[30..];
    assert_eq!(most_in_a_window(&quota, after_the_burst), 30);
    // with a burst of one, no window has more than the limit
    let steady = Quota::per_minute(30).burst(1);
    let admitted = hammered(&steady, 1_000_000_000);
    assert_eq!(most_in_a_window(&steady, &admitted), 30);
}

#[test]
fn a_fixed_window_admits_up_to_twice_the_limit_around_its_end() {
    let quota = Quota::per_minute(30).counted_by(Algorithm::FixedWindow);
    let (first, _) = acquire(&quota, None, 1_000_000_000, 1);
    let (mut state, mut admitted) = (Some(first), 1);
    // 29 just before the end, 30 just after it
    for now in [1_059_999_999, 1_060_000_000] {
        for _ in 0..40 {
            let (next, outcome) = acquire(&quota, state.as_ref(), now, 1);
            if outcome.admitted {
                state = Some(next);
                admitted += 1;
            }
        }
    }
    assert_eq!(admitted, 60);
}

#[test]
fn five_million_a_second_is_counted_without_drift() {
    let quota = Quota::per_second(5_000_000).burst(17);
    let (mut state, mut admitted) = (None, 0);
    for now in 1_000..2_000 {
        while let (next, true) = {
            let (next, outcome) = acquire(&quota, state.as_ref(), now, 1);
            (next, outcome.admitted)
        } {
            state = Some(next);
            admitted += 1;
        }
    }
    assert_eq!(admitted, 17 + 999 * 5);
}

#[test]
fn a_limit_of_zero_refuses_everything() {
    for algorithm in ALGORITHMS {
        let quota = Quota::per_second(0).counted_by(algorithm);
        let (_, outcome) = acquire(&quota, None, 5, 1);
        assert!(!outcome.admitted);
        assert_eq!((outcome.remaining, outcome.retry_after), (0, None));
        assert_eq!(outcome.more_after, None);
    }
}

#[test]
fn a_cost_above_the_limit_is_never_admitted_and_never_charged() {
    for algorithm in ALGORITHMS {
        let quota = Quota::per_second(10).counted_by(algorithm);
        for cost in [11, MAX_LIMIT + 1, u64::MAX] {
            let (_, outcome) = acquire(&quota, None, 5_000_000, cost);
            assert_eq!((outcome.admitted, outcome.retry_after), (false, None));
            assert_eq!(outcome.remaining, 10);
        }
    }
}

#[test]
fn a_refund_gives_back_only_what_still_counts() {
    for algorithm in ALGORITHMS {
        let quota = Quota::per_second(10).counted_by(algorithm);
        let now = 77_000_000;
        let (charged, _) = acquire(&quota, None, now, 4);
        let anchor = charged.anchor(now);
        let back = refund(&charged, &quota, now, anchor, 4);
        assert_eq!(
            peek(&quota, Some(&back), now).remaining,
            10,
            "{algorithm:?}"
        );
        // the charge has left the window: the present use was charged later
        let later = charged.expires(&quota) + 5;
        let (others, _) = acquire(&quota, Some(&charged), later, 7);
        let back = refund(&others, &quota, later, anchor, 4);
        assert_eq!(
            peek(&quota, Some(&back), later).remaining,
            3,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_refund_removes_the_admission_that_it_refunds() {
    // Regression: a refund was taken from what other requests had used, or lost.
    let quota = Quota::per_minute(4);
    let begin = 1_000_000_000;
    let (mut state, mut anchors) = (QuotaState::fresh(&quota, begin), Vec::new());
    for second in 0..4 {
        let now = begin + second * 1_000_000;
        assert!(state.decide(&quota, now, Some(1)).admitted);
        anchors.push(state.anchor(now));
    }
    let now = begin + 30_000_000;
    state.refund(&quota, now, anchors[1], 1);
    state.refund(&quota, now, anchors[1], 1);
    assert_eq!(peek(&quota, Some(&state), now).remaining, 1);
    assert!(state.decide(&quota, now, Some(1)).admitted);
    // The first admission leaves the window at 60 seconds, the third at 62.
    for (second, admitted) in [(59, false), (60, true), (61, false), (62, true)] {
        let now = begin + second * 1_000_000;
        let outcome = state.decide(&quota, now, Some(1));
        assert_eq!(outcome.admitted, admitted, "{second}");
    }
}

#[test]
fn a_refund_gives_back_fractions_of_a_microsecond() {
    let quota = Quota::per_second(3).burst(9);
    let now = 77_000_000;
    let two = acquire(&quota, None, now, 2).0;
    let three = acquire(&quota, Some(&two), now, 1).0;
    assert_eq!(refund(&three, &quota, now, three.anchor(now), 1), two);
}

#[test]
fn after_a_limit_is_lowered_more_after_is_when_a_unit_is_left() {
    for algorithm in ALGORITHMS {
        let (old, new) = (Quota::per_minute(10), Quota::per_minute(4));
        let (old, new) = (old.counted_by(algorithm), new.counted_by(algorithm));
        let now = 77_000_000;
        let (state, _) = acquire(&old, None, now, 10);
        let outcome = peek(&new, Some(&state), now);
        let more = outcome.more_after.expect("it is used up");
        assert_eq!(outcome.remaining, 0, "{algorithm:?}");
        assert_eq!(peek(&new, Some(&state), now + more - 1).remaining, 0);
        assert!(peek(&new, Some(&state), now + more).remaining > 0);
    }
}

#[test]
fn a_gcra_state_of_a_larger_limit_is_read_by_a_smaller_one() {
    // 2/3 of a microsecond under three per microsecond; under one there are no fractions
    let state = QuotaState::Gcra(GcraState {
        micros: 1_000,
        part: 2,
    });
    let quota = Quota::new(1, Duration::from_micros(1)).expect("in range");
    let quota = quota.burst(5);
    let (next, outcome) = acquire(&quota, Some(&state), 1_000, 1);
    assert_eq!((outcome.admitted, outcome.remaining), (true, 4));
    let expected = GcraState {
        micros: 1_001,
        part: 0,
    };
    assert_eq!(next, QuotaState::Gcra(expected));
}

#[test]
fn a_refund_never_leaves_more_than_if_nothing_had_been_charged() {
    for algorithm in ALGORITHMS {
        for seed in 0..2_000 {
            let rng = &mut fastrand::Rng::with_seed(seed);
            let quota = Quota::new(rng.u64(5..30), Duration::from_micros(rng.u64(10..10_000)));
            let quota = quota.expect("in range").counted_by(algorithm);
            let mut now = 1_000_000;
            // one charge that will be refunded, and others after it
            let (first, outcome) = acquire(&quota, None, now, 3);
            assert!(outcome.admitted);
            let anchor = first.anchor(now);
            // both begin their windows at the same time
            let is_gcra = algorithm == Algorithm::Gcra;
            let mut without = (!is_gcra).then(|| refund(&first, &quota, now, anchor, 3));
            let mut with = Some(first);
            for _ in 0..rng.usize(0..4) {
                now += rng.u64(0..quota.window_micros());
                let (a, admitted) = acquire(&quota, with.as_ref(), now, 1);
                if admitted.admitted {
                    with = Some(a);
                    without = Some(acquire(&quota, without.as_ref(), now, 1).0);
                }
            }
            now += rng.u64(0..quota.window_micros());
            let back = with.map(|state| refund(&state, &quota, now, anchor, 3));
            let back = peek(&quota, back.as_ref(), now);
            let without = peek(&quota, without.as_ref(), now);
            assert!(back.remaining <= without.remaining, "{quota:?} seed {seed}");
        }
    }
}

#[test]
fn a_clock_that_steps_back_refuses_for_at_most_a_window() {
    // Regression: refused requests did not move the window, and the subject waited for as long as the
    // clock had stepped back.
    let quota = Quota::per_minute(3);
    let late = 1_760_000_000_000_000;
    let (mut state, _) = acquire(&quota, None, late, 3);
    let early = late - 10 * 86_400_000_000;
    let outcome = state.decide(&quota, early, Some(1));
    let window = quota.window_micros();
    assert_eq!(
        (outcome.admitted, outcome.retry_after),
        (false, Some(window))
    );
    let outcome = state.decide(&quota, early + window - 1, Some(1));
    assert_eq!((outcome.admitted, outcome.retry_after), (false, Some(1)));
    let outcome = state.decide(&quota, early + window, Some(1));
    assert_eq!((outcome.admitted, outcome.remaining), (true, 2));
}

#[test]
fn a_clock_that_steps_back_admits_at_most_the_limit_in_any_window() {
    for seed in 0..5_000 {
        let rng = &mut fastrand::Rng::with_seed(seed);
        let mut quota = random_quota(rng, Algorithm::SlidingWindow);
        if seed.is_multiple_of(2) {
            quota = Quota::new(rng.u64(1..400), Duration::from_micros(rng.u64(1..5_000)))
                .expect("in range");
        }
        let mut state = QuotaState::fresh(&quota, 0);
        // The time that has passed, and by how much the clock shows less.
        let (mut passed, mut behind) = (3_600_000_000_000_000, 0);
        let mut model = Model::default();
        for _ in 0..60 {
            passed += random_step(rng, &quota);
            if rng.u8(..5) == 0 {
                behind += match rng.u8(..3) {
                    0 => rng.u64(0..=quota.window_micros() / 50),
                    1 => rng.u64(0..=quota.window_micros()),
                    _ => rng.u64(0..10_000_000_000),
                };
            }
            let cost = random_cost(rng, &quota);
            let outcome = state.decide(&quota, passed - behind, Some(cost));
            if outcome.admitted {
                model.admit(passed, cost);
                let used = model.within(quota.window_micros(), passed);
                assert!(used <= u128::from(quota.limit()), "{quota:?} seed {seed}");
            } else if let Some(after) = outcome.retry_after {
                assert!(after <= quota.window_micros(), "{quota:?} seed {seed}");
            }
        }
        let after = quota.window_micros();
        let outcome = state.decide(&quota, passed - behind + after, Some(quota.limit()));
        assert!(
            outcome.admitted || quota.limit() == 0,
            "{quota:?} seed {seed}"
        );
    }
}

#[test]
fn one_request_a_minute_is_admitted_by_a_limit_of_one_a_minute() {
    // Regression: what was used in the window before counted in part, and every second one was refused.
    for limit in [1, 5, 200] {
        let quota = Quota::per_minute(limit);
        let mut state = QuotaState::fresh(&quota, 0);
        for minute in 0..1_000 {
            let now = 1_760_000_000_000_000 + minute * 60_000_000;
            let outcome = state.decide(&quota, now, Some(u64::from(limit)));
            assert!(outcome.admitted, "{limit} a minute, minute {minute}");
        }
    }
}

#[test]
fn after_five_at_once_and_a_minute_s_rest_the_next_are_admitted() {
    let quota = Quota::per_minute(5);
    let mut state = QuotaState::fresh(&quota, 0);
    for minute in 0..3 {
        let now = 1_760_000_000_000_000 + minute * 60_000_000;
        for _ in 0..5 {
            assert!(state.decide(&quota, now, Some(1)).admitted);
        }
        let refused = state.decide(&quota, now + 1_000_000, Some(1));
        // Regression: it was more than a minute.
        assert_eq!(refused.retry_after, Some(59_000_000));
        assert_eq!(refused.more_after, Some(59_000_000));
    }
}

#[test]
fn a_large_limit_is_free_at_most_a_64th_of_the_window_late() {
    let quota = Quota::per_minute(6_400);
    let mut state = QuotaState::fresh(&quota, 0);
    let begin = 1_760_000_000_000_000;
    for n in 0..6_400 {
        let now = begin + n * 9_375;
        assert!(state.decide(&quota, now, Some(1)).admitted, "{n}");
    }
    let is_free = |n: u64, late: u64| {
        let now = begin + n * 9_375 + quota.window_micros() + late;
        peek(&quota, Some(&state), now).remaining > n
    };
    let late = quota.window_micros() / 64;
    assert!((0..6_400).all(|n| is_free(n, late)));
    assert!((0..6_400).any(|n| !is_free(n, late - 10_000)));
}

#[test]
fn the_reset_time_is_the_same_for_every_request_of_a_window() {
    // Derived from the moment of each request, it jumped by a second from response to response.
    for algorithm in ALGORITHMS {
        let quota = Quota::per_minute(3).counted_by(algorithm);
        let begin = 1_760_000_000_000_000;
        let (state, _) = acquire(&quota, None, begin, 3);
        let reset = |now| {
            peek(&quota, Some(&state), now)
                .more_after
                .map(|after| now + after)
        };
        let first = reset(begin);
        assert!(first.is_some());
        for now in [begin + 1, begin + 999_999, begin + 19_999_999] {
            assert_eq!(reset(now), first, "{algorithm:?}");
        }
    }
}

#[test]
fn a_state_of_another_algorithm_counts_as_none_and_a_higher_use_is_kept() {
    for old in ALGORITHMS {
        for new in ALGORITHMS {
            let before = Quota::per_minute(500).counted_by(old);
            let (state, _) = acquire(&before, None, 9, 400);
            let quota = Quota::per_second(2).counted_by(new);
            let (_, outcome) = acquire(&quota, Some(&state), 10, 1);
            assert_eq!(outcome.admitted, old != new, "{old:?} then {new:?}");
            assert!(outcome.retry_after.is_some());
        }
    }
}

#[test]
fn a_quota_out_of_range_is_an_error_that_says_what_to_write() {
    for (limit, window) in [
        (1, Duration::ZERO),
        (1, Duration::from_nanos(999)),
        (1, Duration::from_secs(367 * 86_400)),
        (1, Duration::MAX),
        (u64::MAX, Duration::from_secs(1)),
    ] {
        let error = Quota::new(limit, window).expect_err("out of range");
        assert!(error.is_config() && error.to_string().contains("write"));
    }
    let quota = Quota::per_day(1).burst(u64::MAX);
    assert_eq!(quota.capacity(), 366);
}
