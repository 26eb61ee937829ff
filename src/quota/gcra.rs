//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) with exact fractions.
//!
//! The emission interval `window / limit` need not be whole microseconds: a time is a pair of whole
//! microseconds and `limit`ths of one, so that neither 3 per second nor 5,000,000 per second drifts.

use super::{
    algorithm_state::AlgorithmState,
    math::{div_rem, mul_div, quotient},
    quota::Quota,
};

/// The theoretical arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GcraState {
    pub(crate) micros: u64,
    /// In `1/limit` of a microsecond, below one.
    pub(crate) part: u64,
}

/// How far the theoretical arrival time lies in the future, in ticks of `1/limit` microsecond: one
/// quota unit costs `window` ticks.
#[derive(Clone, Copy)]
pub(super) struct Backlog(u128);

impl AlgorithmState for Backlog {
    /// Limits the backlog to the burst: the limit may have been lowered, or the clock stepped back.
    #[inline]
    fn settle(self, quota: &Quota, _: u64) -> Self {
        Self(self.0.min(full(quota)))
    }

    #[inline]
    fn charge(&self, quota: &Quota, _: u64, cost: u64) -> Option<Self> {
        let backlog = self.0 + ticks(quota, cost);
        (quota.limit > 0 && backlog <= full(quota)).then_some(Self(backlog))
    }

    fn remaining(&self, quota: &Quota, _: u64) -> u64 {
        quotient(full(quota).saturating_sub(self.0), quota.window)
    }

    fn retry_after(&self, quota: &Quota, _: u64, cost: u64) -> Option<u64> {
        if quota.limit == 0 || cost > quota.capacity {
            return None;
        }
        let wanted = self.0 + ticks(quota, cost);
        Some(micros(quota, wanted.saturating_sub(full(quota))))
    }
}

impl Backlog {
    /// The theoretical arrival time at this backlog after `now`.
    #[inline]
    pub(super) fn after(self, quota: &Quota, now: u64) -> GcraState {
        let (micros, part) = div_rem(self.0, quota.limit.max(1));
        GcraState {
            micros: now.saturating_add(micros),
            part,
        }
    }
}

impl GcraState {
    /// The backlog at `now`; zero if the theoretical arrival time has passed.
    #[inline]
    pub(super) fn backlog(&self, quota: &Quota, now: u64) -> Backlog {
        let Some(micros) = self.micros.checked_sub(now) else {
            return Backlog(0);
        };
        // After a reload, the part may count fractions of a larger limit.
        let part = self.part.min(quota.limit.saturating_sub(1));
        Backlog(u128::from(micros) * u128::from(quota.limit) + u128::from(part))
    }

    pub(super) fn expires(&self) -> u64 {
        self.micros.saturating_add(u64::from(self.part > 0))
    }

    /// Refunds the part of `cost` that has not drained yet. Its charge moved the theoretical
    /// arrival time to `anchor`.
    pub(super) fn refund(&self, quota: &Quota, now: u64, anchor: u64, cost: u64) -> Self {
        let owed = anchor.saturating_sub(now);
        let whole = emission_time(quota, cost);
        let (micros, part) = if whole.0 < owed { whole } else { (owed, 0) };
        let borrow = u64::from(part > self.part);
        Self {
            micros: self.micros.saturating_sub(micros + borrow),
            part: (self.part + borrow * quota.limit).saturating_sub(part),
        }
    }
}

/// The time in which the rate admits `units`: whole microseconds, and `limit`ths of one.
pub(crate) fn emission_time(quota: &Quota, units: u64) -> (u64, u64) {
    let limit = quota.limit.max(1);
    if units == limit {
        return (quota.window, 0);
    }
    mul_div(units, quota.window, limit)
}

/// The time in which the rate admits `units`, in ticks.
fn ticks(quota: &Quota, units: u64) -> u128 {
    u128::from(units) * u128::from(quota.window)
}

/// The backlog at which the burst is used up.
fn full(quota: &Quota) -> u128 {
    ticks(quota, quota.capacity)
}

/// Ticks in microseconds, rounded up.
fn micros(quota: &Quota, ticks: u128) -> u64 {
    quotient(ticks + u128::from(quota.limit - 1), quota.limit)
}
