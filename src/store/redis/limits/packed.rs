//! The byte format of rules, refunds and counters: see the head of `acquire.lua`.

use crate::{
    quota::{
        ADMISSION_SIZE, Admission, Algorithm, Charge, FixedWindowState, GcraState, Quota,
        QuotaOutcome, QuotaState, SlidingWindowState, emission_time,
    },
    store::contracts::limits::Refund,
};

pub(super) fn charge(charge: &Charge) -> [u8; 42] {
    let quota = &charge.quota;
    let cost = quota.clamp(charge.cost);
    let numbers = match quota.algorithm() {
        Algorithm::SlidingWindow => {
            let (window, sub_window) = (quota.window_micros(), quota.sub_window());
            [cost, quota.limit(), window, sub_window, 0].map(whole)
        }
        Algorithm::FixedWindow => {
            let free = whole(quota.limit()) - whole(cost);
            [whole(cost), free, whole(quota.window_micros()), 0.0, 0.0]
        }
        // A burst of negative length admits nothing.
        Algorithm::Gcra if quota.limit() == 0 => [1.0, 0.0, -1.0, 0.0, 1.0],
        Algorithm::Gcra => {
            let (cost, burst) = (
                emission_time(quota, cost),
                emission_time(quota, quota.capacity()),
            );
            [cost.0, cost.1, burst.0, burst.1, quota.limit()].map(whole)
        }
    };
    let mut packed = [0; 42];
    packed[0] = kind(quota);
    packed[1] = charge.shadow.into();
    write(&mut packed[2..], &numbers);
    packed
}

pub(super) fn refund(refund: &Refund<'_>) -> [u8; 33] {
    let quota = &refund.quota;
    let cost = quota.clamp(refund.cost);
    let numbers = match quota.algorithm() {
        Algorithm::SlidingWindow => [cost, quota.sub_window(), 0],
        Algorithm::FixedWindow => [cost, 0, 0],
        Algorithm::Gcra => {
            let (micros, part) = emission_time(quota, cost);
            [micros, part, quota.limit()]
        }
    };
    let [a, b, c] = numbers.map(whole);
    let mut packed = [0; 33];
    packed[0] = kind(quota);
    write(&mut packed[1..], &[whole(refund.anchor), a, b, c]);
    packed
}

/// The state of a counter, if this crate wrote it.
pub(super) fn state(counter: &[u8]) -> Option<QuotaState> {
    let (kind, rest) = counter.split_first()?;
    if *kind == b'w' {
        return sliding_window(rest).map(QuotaState::SlidingWindow);
    }
    let numbers: &[u8; 24] = rest.try_into().ok()?;
    let mut numbers = numbers.chunks_exact(8).map(number);
    let (x, y, _) = (numbers.next()??, numbers.next()??, numbers.next()??);
    match kind {
        b'f' => Some(QuotaState::FixedWindow(FixedWindowState {
            end: x,
            used: y,
        })),
        b'g' => Some(QuotaState::Gcra(GcraState { micros: x, part: y })),
        _ => None,
    }
}

fn sliding_window(counter: &[u8]) -> Option<SlidingWindowState> {
    let (admissions, trailer) = counter.split_last_chunk::<TRAILER_SIZE>()?;
    let (admissions, rest) = admissions.as_chunks::<ADMISSION_SIZE>();
    let [first, second, ..] = *trailer;
    let passed = usize::from(u16::from_le_bytes([first, second]));
    let counted = admissions.get(passed..).filter(|_| rest.is_empty())?;
    let counted = counted.iter().map(|bytes| Admission::from(*bytes));
    Some(SlidingWindowState::from_admissions(counted))
}

/// The outcome of a sliding window that the script decided.
pub(super) fn outcome(quota: &Quota, reply: [i64; 3]) -> QuotaOutcome {
    let [used, retry_after, more_after] = reply.map(|number| u64::try_from(number).ok());
    QuotaOutcome {
        admitted: retry_after == Some(0),
        remaining: quota.limit().saturating_sub(used.unwrap_or(0)),
        retry_after,
        more_after,
    }
}

fn kind(quota: &Quota) -> u8 {
    match quota.algorithm() {
        Algorithm::SlidingWindow => b'w',
        Algorithm::FixedWindow => b'f',
        Algorithm::Gcra => b'g',
    }
}

/// Converts exactly, because every number is below 2^53.
#[allow(clippy::cast_precision_loss)]
fn whole(number: u64) -> f64 {
    number as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn number(bytes: &[u8]) -> Option<u64> {
    let number = f64::from_le_bytes(bytes.try_into().ok()?);
    // False for NaN, too.
    let valid = (0.0..9e15).contains(&number) && number.fract() == 0.0;
    valid.then_some(number as u64)
}

fn write(to: &mut [u8], numbers: &[f64]) {
    for (to, number) in to.chunks_exact_mut(8).zip(numbers) {
        to.copy_from_slice(&number.to_le_bytes());
    }
}

/// The size of what follows the admissions of a sliding window, in bytes.
const TRAILER_SIZE: usize = 16;
