//! A decision in one process, compared with `governor`.

use std::{hint::black_box, num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota as GovernorQuota};
use tower_keep::{Keep, Key, Table, rate_limit::Quota, table::Algorithm};

use super::{
    subjects,
    support::{Case, compare, poll_ready},
};

const PLENTY: u32 = 1_000_000_000;

pub(crate) fn run() {
    let keep = Keep::new(Table::new()).expect("a valid table");
    let plenty = Quota::per_second(PLENTY);
    let fixed = plenty.counted_by(Algorithm::FixedWindow);
    // Slow enough that a subject's use has not expired at its next turn.
    let gcra = Quota::per_second(100).burst(u64::from(PLENTY));
    // Both admissions and refusals, as each subject has a turn every few milliseconds.
    let few = |limit| Quota::new(limit, Duration::from_millis(limit * 5)).expect("in range");
    let names: Vec<String> = (0..subjects()).map(|i| format!("user-{i:08}")).collect();
    let keys = |limit: &'static str| -> Vec<Key> {
        let key = |name| Key::new(limit).id(name);
        names.iter().map(key).collect()
    };
    let governor =
        DefaultKeyedRateLimiter::<String>::keyed(GovernorQuota::per_second(nonzero(PLENTY)));
    let in_turn = |limit, quota: Quota| {
        let (keep, keys) = (&keep, keys(limit));
        let mut at = 0;
        move |n| {
            for _ in 0..n {
                at = (at + 1) % keys.len();
                black_box(poll_ready(keep.rate_limit(&keys[at], quota)));
            }
        }
    };
    let mut at = 0;
    compare(
        "a local decision (goal: 2 x governor; a refusal no dearer than an admission)",
        vec![
            Case::new("governor, keyed by String", |n| {
                for _ in 0..n {
                    at = (at + 1) % names.len();
                    let _ = black_box(governor.check_key(&names[at]));
                }
            }),
            Case::new(
                "Keep::rate_limit, sliding window",
                in_turn("sliding", plenty),
            ),
            Case::new("sliding window of 5", in_turn("five", few(5))),
            Case::new("sliding window of 100", in_turn("hundred", few(100))),
            Case::new(
                "sliding window of 10,000",
                in_turn("thousands", few(10_000)),
            ),
            Case::new("Keep::rate_limit, fixed window", in_turn("fixed", fixed)),
            Case::new("Keep::rate_limit, GCRA", in_turn("gcra", gcra)),
            Case::new(
                "Keep::rate_limit, refused",
                in_turn("refused", Quota::per_day(1)),
            ),
        ],
    );
}

fn nonzero(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}
