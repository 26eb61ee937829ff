//! The byte format of rules, refunds and counters: see the head of `acquire.lua`.

use crate::{
    quota::{
        Algorithm, Charge, FixedWindowState, GcraState, Quota, QuotaState, SlidingWindowState,
        emission_time,
    },
    store::contracts::limits::Refund,
};

pub(super) fn charge(charge: &Charge) -> [u8; 42] {
    let quota = &charge.quota;
    let cost = quota.clamp(charge.cost);
    let numbers = match quota.algorithm() {
        Algorithm::SlidingWindow | Algorithm::FixedWindow => {
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
        Algorithm::SlidingWindow | Algorithm::FixedWindow => [cost, quota.window_micros(), 0],
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
    let counter: &[u8; COUNTER_SIZE] = counter.try_into().ok()?;
    let (kind, numbers) = counter.split_first()?;
    let mut numbers = numbers.chunks_exact(8).map(number);
    let (x, y, z) = (numbers.next()??, numbers.next()??, numbers.next()??);
    match kind {
        b's' => Some(QuotaState::SlidingWindow(SlidingWindowState {
            start: x,
            current: y,
            previous: z,
        })),
        b'f' => Some(QuotaState::FixedWindow(FixedWindowState {
            end: x,
            used: y,
        })),
        b'g' => Some(QuotaState::Gcra(GcraState { micros: x, part: y })),
        _ => None,
    }
}

fn kind(quota: &Quota) -> u8 {
    match quota.algorithm() {
        Algorithm::SlidingWindow => b's',
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

/// The size of a counter in Redis, in bytes.
const COUNTER_SIZE: usize = 25;
