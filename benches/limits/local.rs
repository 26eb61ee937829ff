//! A decision in this process.

use std::{
    hint::black_box,
    num::NonZeroU32,
    pin::pin,
    task::{Context, Poll, Waker},
};

use governor::{DefaultKeyedRateLimiter, Quota as Other};
use tower_keep::{Keep, Key, Table, rate_limit::Quota, table::Algorithm};

use super::{
    subjects,
    support::{Case, compare},
};

const PLENTY: u32 = 1_000_000_000;

pub(crate) fn run() {
    let keep = Keep::new(Table::new()).expect("a valid table");
    let plenty = Quota::per_second(PLENTY);
    let fixed = plenty.counted_by(Algorithm::FixedWindow);
    // slow enough that a subject's use lasts until its next turn
    let gcra = Quota::per_second(100).burst(u64::from(PLENTY));
    let names: Vec<String> = (0..subjects()).map(|i| format!("user-{i:08}")).collect();
    let keys: Vec<Key> = names.iter().map(|name| Key::new("api").id(name)).collect();
    let other = DefaultKeyedRateLimiter::<String>::keyed(Other::per_second(nonzero(PLENTY)));
    let in_turn = |quota: Quota| {
        let (keep, keys) = (&keep, &keys);
        let mut at = 0;
        move |n| {
            for _ in 0..n {
                at = (at + 1) % keys.len();
                black_box(now(keep.rate_limit(&keys[at], quota)));
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
                    let _ = black_box(other.check_key(&names[at]));
                }
            }),
            Case::new("Keep::rate_limit, sliding window", in_turn(plenty)),
            Case::new("Keep::rate_limit, fixed window", in_turn(fixed)),
            Case::new("Keep::rate_limit, GCRA", in_turn(gcra)),
            Case::new("Keep::rate_limit, refused", in_turn(Quota::per_day(1))),
        ],
    );
}

/// What an operation in one process answers: at once.
fn now<F: Future>(work: F) -> F::Output {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

fn nonzero(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}
