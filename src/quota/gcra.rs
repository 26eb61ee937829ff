//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) with exact fractions.
//!
//! The emission interval `window / limit` need not be whole microseconds: a time is a pair of whole
//! microseconds and `limit`ths of one, so that neither 3 per second nor 5,000,000 per second drifts.

use super::{
    Quota,
    counting::Counting,
    share::{mul_div, quotient},
};

/// The theoretical arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gcra {
    pub(crate) micros: u64,
    /// In `1/limit` of a microsecond, below one.
    pub(crate) part: u64,
}

impl Counting for Gcra {
    /// The state at `now`: not in the past, and not farther ahead than the burst allows (the limit
    /// may have been lowered, the clock may have stepped back).
    #[inline]
    fn settle(state: Option<Self>, quota: &Quota, now: u64) -> Self {
        let idle = Self::idle(now);
        let Some(mut state) = state else { return idle };
        state.part = state.part.min(quota.limit.saturating_sub(1));
        state.clamp(idle, Self::latest(quota, now))
    }

    #[inline]
    fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self> {
        if quota.limit == 0 {
            return None;
        }
        let charged = self.plus(quota, span(quota, cost));
        (charged <= Self::latest(quota, now)).then_some(charged)
    }

    fn remaining(&self, quota: &Quota, now: u64) -> u64 {
        let free = full(quota).saturating_sub(self.ahead(quota, now));
        quotient(free, quota.window)
    }

    fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64> {
        if quota.limit == 0 || cost > quota.capacity {
            return None;
        }
        let wanted = self.ahead(quota, now) + ticks(quota, cost);
        Some(micros(quota, wanted.saturating_sub(full(quota))))
    }

    fn more_after(&self, quota: &Quota, now: u64) -> Option<u64> {
        let ahead = self.ahead(quota, now);
        if ahead == 0 || quota.limit == 0 {
            return None;
        }
        let next = ticks(quota, self.remaining(quota, now) + 1);
        Some(micros(quota, (next + ahead).saturating_sub(full(quota))))
    }
}

impl Gcra {
    /// Of who has used nothing.
    fn idle(now: u64) -> Self {
        Self {
            micros: now,
            part: 0,
        }
    }

    /// Of who has used the whole burst.
    fn latest(quota: &Quota, now: u64) -> Self {
        Self::idle(now).plus(quota, span(quota, quota.capacity))
    }

    fn plus(&self, quota: &Quota, (micros, part): (u64, u64)) -> Self {
        let part = self.part + part;
        let carry = u64::from(part >= quota.limit);
        Self {
            micros: self.micros.saturating_add(micros).saturating_add(carry),
            part: part - carry * quota.limit,
        }
    }

    /// From `now` on, in `1/limit` of a microsecond; what one unit of quota costs is `window` of them.
    fn ahead(&self, quota: &Quota, now: u64) -> u128 {
        u128::from(self.micros - now) * u128::from(quota.limit) + u128::from(self.part)
    }

    pub(super) fn expires(&self) -> u64 {
        self.micros.saturating_add(u64::from(self.part > 0))
    }

    /// Gives back what has not drained yet of the `cost` whose charge led to the time `anchor`.
    pub(super) fn refund(&self, quota: &Quota, now: u64, anchor: u64, cost: u64) -> Self {
        let owed = anchor.saturating_sub(now);
        let whole = span(quota, cost);
        let (micros, part) = if whole.0 < owed { whole } else { (owed, 0) };
        let borrow = u64::from(part > self.part);
        Self {
            micros: self.micros.saturating_sub(micros + borrow),
            part: (self.part + borrow * quota.limit).saturating_sub(part),
        }
    }
}

/// How long the rate takes for `units`: whole microseconds, and `limit`ths.
pub(crate) fn span(quota: &Quota, units: u64) -> (u64, u64) {
    let limit = quota.limit.max(1);
    if units == limit {
        return (quota.window, 0);
    }
    mul_div(units, quota.window, limit)
}

/// The same in `1/limit` of a microsecond.
fn ticks(quota: &Quota, units: u64) -> u128 {
    u128::from(units) * u128::from(quota.window)
}

fn full(quota: &Quota) -> u128 {
    ticks(quota, quota.capacity)
}

/// Rounded up.
fn micros(quota: &Quota, ticks: u128) -> u64 {
    quotient(ticks + u128::from(quota.limit - 1), quota.limit)
}
