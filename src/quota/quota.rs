use std::time::Duration;

use serde::Deserialize;

use crate::error::Error;

/// A number of quota units per window of time, and the algorithm that counts their use.
///
/// | algorithm | guarantee | admitted to a client that sends as fast as it can |
/// |---|---|---|
/// | [`SlidingWindow`](Algorithm::SlidingWindow) | at most the limit in every interval as long as the window; only what would exceed that is refused; above a limit of 128, capacity becomes free up to 1/64 of the window late | the limit at once, and again when a window has passed |
/// | [`FixedWindow`](Algorithm::FixedWindow) | at most the limit in each window; a window begins with the first request after the last one ended | the limit at the beginning of every window: up to twice the limit around a boundary |
/// | [`Gcra`](Algorithm::Gcra) | after the burst, one unit per emission interval | the burst at once and, at the same time, the limit's rate: nearly twice the limit in the first window |
///
/// A limit of 0 refuses everything.
///
/// ```
/// # use tower_keep::{rate_limit::Quota, table::Algorithm};
/// let quota = Quota::per_minute(100);
/// let steady = Quota::per_second(10).burst(5);
/// assert_eq!(steady.algorithm(), Algorithm::Gcra);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    pub(super) limit: u64,
    /// In microseconds.
    pub(super) window: u64,
    pub(super) algorithm: Algorithm,
    /// The burst size: the quota units that GCRA admits at once; the limit for the other algorithms.
    pub(super) capacity: u64,
}

impl Quota {
    /// `limit` quota units per `window`.
    ///
    /// # Errors
    ///
    /// If the window is shorter than a microsecond or longer than 366 days, or the limit exceeds 10¹².
    pub fn new(limit: u64, window: Duration) -> Result<Self, Error> {
        let micros = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        if micros == 0 || micros > MAX_WINDOW {
            return Err(Error::config(format!(
                "a limit's window of {window:?} is out of range: write a duration of at most 366 days"
            )));
        }
        if limit > MAX_LIMIT {
            return Err(Error::config(format!(
                "a limit of {limit} is too large: write at most {MAX_LIMIT}"
            )));
        }
        Ok(Self::micros(limit, micros))
    }

    /// `limit` quota units per second.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self::micros(limit as u64, 1_000_000)
    }

    /// `limit` quota units per minute.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self::micros(limit as u64, 60 * 1_000_000)
    }

    /// `limit` quota units per hour.
    #[must_use]
    pub const fn per_hour(limit: u32) -> Self {
        Self::micros(limit as u64, 3_600 * 1_000_000)
    }

    /// `limit` quota units per 24 hours.
    #[must_use]
    pub const fn per_day(limit: u32) -> Self {
        Self::micros(limit as u64, 86_400 * 1_000_000)
    }

    const fn micros(limit: u64, window: u64) -> Self {
        Self {
            limit,
            window,
            algorithm: Algorithm::SlidingWindow,
            capacity: limit,
        }
    }

    /// Counts by `algorithm`. GCRA's burst is the limit unless [`burst`](Self::burst) sets another one.
    #[must_use]
    pub const fn counted_by(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self.capacity = self.limit;
        self
    }

    /// Counts by GCRA, with at most `burst` quota units at once.
    ///
    /// A burst that takes more than 366 days to refill is lowered to what 366 days refill.
    #[must_use]
    pub fn burst(mut self, burst: u64) -> Self {
        let refilled = u128::from(MAX_WINDOW) * u128::from(self.limit) / u128::from(self.window);
        let refilled = u64::try_from(refilled).unwrap_or(u64::MAX);
        self.algorithm = Algorithm::Gcra;
        self.capacity = burst.min(refilled).min(MAX_LIMIT);
        self
    }

    /// Quota units per window.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The time in which the limit may be used.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_micros(self.window)
    }

    /// The algorithm that counts the use.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The burst size: the quota units that an unused quota admits at once. Except for GCRA, it is
    /// the limit.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Limits a cost to one more than the capacity, so that calculations do not overflow: all costs
    /// above the capacity are refused.
    pub(crate) fn clamp(&self, cost: u64) -> u64 {
        cost.min(self.capacity + 1)
    }

    pub(crate) const fn window_micros(&self) -> u64 {
        self.window
    }
}

/// The algorithm that counts the use of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algorithm {
    /// At most the limit in every interval as long as the window. Each admission counts until the window
    /// has passed since.
    ///
    /// This is exact for limits up to 128. Above, the window is divided into 64 parts, and the admissions
    /// of one part count until the window has passed since the last of them: capacity becomes free up to
    /// 1/64 of the window late, and never early.
    #[default]
    SlidingWindow,
    /// Consecutive windows, each beginning with its first request.
    FixedWindow,
    /// The generic cell rate algorithm (a token bucket without a timer): a steady rate with a burst.
    Gcra,
}

/// The longest window, and the longest time in which a burst may be refilled: 366 days, in
/// microseconds.
pub(crate) const MAX_WINDOW: u64 = 366 * 86_400 * 1_000_000;

/// The largest limit: every product stays exact in the doubles of a Redis script.
pub(crate) const MAX_LIMIT: u64 = 1_000_000_000_000;
