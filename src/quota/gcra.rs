//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) with exact fractions.
//!
//! The emission interval `window / limit` need not be whole microseconds: a time is a pair of whole
//! microseconds and `limit`ths of one, so that neither 3 per second nor 5,000,000 per second drifts.

use super::{Quota, share::mul_div};

/// The theoretical arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gcra {
    pub(crate) micros: u64,
    /// In `1/limit` of a microsecond, below one.
    pub(crate) part: u64,
}

/// How long the rate takes for `units`: whole microseconds, and `limit`ths.
pub(crate) fn span(quota: &Quota, units: u64) -> (u64, u64) {
    mul_div(units, quota.window, quota.limit.max(1))
}

impl Gcra {
    /// The state at `now`: not in the past, and not farther ahead than the burst allows (the limit
    /// may have been lowered, the clock may have stepped back).
    pub(super) fn settle(state: Option<Self>, quota: &Quota, now: u64) -> Self {
        let idle = Self {
            micros: now,
            part: 0,
        };
        let Some(mut state) = state else { return idle };
        state.part = state.part.min(quota.limit.saturating_sub(1));
        state.clamp(idle, idle.plus(quota, span(quota, quota.capacity)))
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

    fn full(quota: &Quota) -> u128 {
        u128::from(quota.capacity) * u128::from(quota.window)
    }

    pub(super) fn charge(&self, quota: &Quota, now: u64, cost: u64) -> Option<Self> {
        if quota.limit == 0 {
            return None;
        }
        let charged = self.plus(quota, span(quota, cost));
        let most = Self {
            micros: now,
            part: 0,
        }
        .plus(quota, span(quota, quota.capacity));
        (charged <= most).then_some(charged)
    }

    pub(super) fn remaining(&self, quota: &Quota, now: u64) -> u64 {
        let free = Self::full(quota).saturating_sub(self.ahead(quota, now));
        u64::try_from(free / u128::from(quota.window)).unwrap_or(u64::MAX)
    }

    pub(super) fn retry_after(&self, quota: &Quota, now: u64, cost: u64) -> Option<u64> {
        if quota.limit == 0 || cost > quota.capacity {
            return None;
        }
        let wanted = self.ahead(quota, now) + u128::from(cost) * u128::from(quota.window);
        Some(micros(quota, wanted.saturating_sub(Self::full(quota))))
    }

    pub(super) fn more_after(&self, quota: &Quota, now: u64) -> Option<u64> {
        let ahead = self.ahead(quota, now);
        if ahead == 0 || quota.limit == 0 {
            return None;
        }
        let next = u128::from(self.remaining(quota, now) + 1) * u128::from(quota.window);
        Some(micros(
            quota,
            (next + ahead).saturating_sub(Self::full(quota)),
        ))
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

fn micros(quota: &Quota, ticks: u128) -> u64 {
    u64::try_from(ticks.div_ceil(u128::from(quota.limit))).unwrap_or(u64::MAX)
}
