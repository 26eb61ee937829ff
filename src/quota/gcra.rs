//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) with exact fractions.
//!
//! The emission interval `window / limit` need not be whole microseconds: a time is a pair of whole
//! microseconds and `limit`ths of one, so that neither 3 per second nor 5,000,000 per second drifts.

use super::{
    Quota,
    counting::Counting,
    share::{div_rem, mul_div, quotient},
};

/// The theoretical arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gcra {
    pub(crate) micros: u64,
    /// In `1/limit` of a microsecond, below one.
    pub(crate) part: u64,
}

/// How far it lies ahead of now, in `1/limit` of a microsecond: one unit of quota costs `window`
/// of them.
#[derive(Clone, Copy)]
pub(super) struct Ahead(u128);

impl Counting for Ahead {
    /// Not farther ahead than the burst allows: the limit may have been lowered, the clock may have
    /// stepped back.
    #[inline]
    fn settle(state: Option<Self>, quota: &Quota, _: u64) -> Self {
        Self(state.map_or(0, |state| state.0.min(full(quota))))
    }

    #[inline]
    fn charge(&self, quota: &Quota, _: u64, cost: u64) -> Option<Self> {
        let ahead = self.0 + ticks(quota, cost);
        (quota.limit > 0 && ahead <= full(quota)).then_some(Self(ahead))
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

    fn more_after(&self, quota: &Quota, _: u64, remaining: u64) -> Option<u64> {
        if self.0 == 0 || quota.limit == 0 {
            return None;
        }
        let wanted = self.0 + ticks(quota, remaining + 1);
        Some(micros(quota, wanted.saturating_sub(full(quota))))
    }
}

impl Ahead {
    /// The time that lies so far ahead of `now`.
    #[inline]
    pub(super) fn of(self, quota: &Quota, now: u64) -> Gcra {
        let (micros, part) = div_rem(self.0, quota.limit.max(1));
        Gcra {
            micros: now.saturating_add(micros),
            part,
        }
    }
}

impl Gcra {
    /// Nothing, if it has passed.
    #[inline]
    pub(super) fn ahead(&self, quota: &Quota, now: u64) -> Ahead {
        let Some(micros) = self.micros.checked_sub(now) else {
            return Ahead(0);
        };
        // a larger limit's fractions, after a reload
        let part = self.part.min(quota.limit.saturating_sub(1));
        Ahead(u128::from(micros) * u128::from(quota.limit) + u128::from(part))
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
